-- The pilot's twenty buyer queries, four a dataset, in the SQL that DuckDB speaks. Each dataset is a view of its own name;
-- DuckDB's TimeZone is set to Asia/Ho_Chi_Minh. Lines "-- <dataset> <number>: <meaning>" are read by the tests.

-- xe_buyt_luot_di 1: riders and boardings on each route
SELECT tuyen, count(DISTINCT hanh_khach_pid) AS hanh_khach, count(*) AS luot
FROM xe_buyt_luot_di GROUP BY tuyen;

-- xe_buyt_luot_di 2: boardings by local hour of day and boarding zone
SELECT extract(hour FROM len_xe_luc) AS gio, khu_vuc_len, count(*) AS luot
FROM xe_buyt_luot_di GROUP BY gio, khu_vuc_len;

-- xe_buyt_luot_di 3: riders and fare revenue by sales channel
SELECT kenh_mua_ve, count(DISTINCT hanh_khach_pid) AS hanh_khach, sum(gia_ve_vnd) AS doanh_thu_vnd
FROM xe_buyt_luot_di GROUP BY kenh_mua_ve;

-- xe_buyt_luot_di 4: mean waiting time of pupils and students on each route, in seconds
SELECT tuyen, avg(thoi_gian_cho_giay) AS cho_trung_binh_giay
FROM xe_buyt_luot_di WHERE doi_tuong_ve = 'hoc_sinh_sinh_vien' GROUP BY tuyen;

-- cang_luot_tau 1: calls and containers handled (TEU) at each port, month by month
SELECT cang, date_trunc('month', cap_ben_luc) AS thang, count(*) AS luot, sum(teu_do) + sum(teu_xep) AS teu
FROM cang_luot_tau GROUP BY cang, thang;

-- cang_luot_tau 2: mean hours at berth in each port
SELECT cang, sum(phut_nam_ben) / 60.0 / count(*) AS gio_nam_ben
FROM cang_luot_tau GROUP BY cang;

-- cang_luot_tau 3: what the home and the foreign platform cost per call (expected ratio: 0,20)
SELECT nen_tang, count(*) AS luot, sum(phi_nen_tang_vnd) AS phi_vnd, sum(phi_nen_tang_vnd) / count(*) AS phi_moi_luot_vnd
FROM cang_luot_tau GROUP BY nen_tang;

-- cang_luot_tau 4: transhipped TEU by flag at Cai Mep Gemalink and Cat Lai
SELECT quoc_tich, sum(teu_trung_chuyen) AS teu_trung_chuyen
FROM cang_luot_tau WHERE cang IN ('CAI_MEP_GEMALINK', 'CAT_LAI') GROUP BY quoc_tich;

-- dat_dai_giao_dich 1: number and value of transfers by land kind and year
SELECT loai_dat, extract(year FROM ngay_giao_dich) AS nam, count(*) AS so_giao_dich, sum(tri_gia_vnd) AS tri_gia_vnd
FROM dat_dai_giao_dich WHERE loai_giao_dich = 'chuyen_nhuong' GROUP BY loai_dat, nam;

-- dat_dai_giao_dich 2: mean price per square metre of urban residential land in each ward
SELECT phuong_xa, sum(tri_gia_vnd) * 100 / sum(dien_tich_dm2) AS gia_vnd_m2
FROM dat_dai_giao_dich WHERE loai_dat = 'ODT' GROUP BY phuong_xa;

-- dat_dai_giao_dich 3: share of dossiers filed online in each ward (target: 70 %)
SELECT phuong_xa, count(*) FILTER (WHERE ho_so_truc_tuyen) / count(*) AS ty_le_truc_tuyen
FROM dat_dai_giao_dich GROUP BY phuong_xa;

-- dat_dai_giao_dich 4: dealings of 2026 by kind
SELECT loai_giao_dich, count(*) AS so_giao_dich
FROM dat_dai_giao_dich WHERE extract(year FROM ngay_giao_dich) = 2026 GROUP BY loai_giao_dich;

-- chi_so_cds 1: the ten best places of the 2022 digital transformation index, with the origin of each figure
SELECT dia_phuong, gia_tri_1e4 / 10000 AS dti, nguon
FROM chi_so_cds WHERE chi_so = 'dti' AND cap = 'tinh' AND nam = 2022 AND gia_tri_1e4 IS NOT NULL
ORDER BY gia_tri_1e4 DESC, dia_phuong LIMIT 10;

-- chi_so_cds 2: distance of the South-East region from its targets (0,12 and 0,135)
SELECT dia_phuong, chi_so, (muc_tieu_1e4 - gia_tri_1e4) / 10000 AS khoang_cach
FROM chi_so_cds WHERE muc_tieu_1e4 IS NOT NULL ORDER BY chi_so;

-- chi_so_cds 3: yearly mean of the digital economy index over provinces
SELECT nam, avg(gia_tri_1e4) / 10000 AS trung_binh
FROM chi_so_cds WHERE chi_so = 'kinh_te_so' AND cap = 'tinh' GROUP BY nam ORDER BY nam;

-- chi_so_cds 4: does digital infrastructure go with the overall index? (correlation)
SELECT corr(h.gia_tri_1e4, t.gia_tri_1e4) AS he_so_tuong_quan
FROM chi_so_cds h JOIN chi_so_cds t USING (dia_phuong, cap, nam)
WHERE h.chi_so = 'ha_tang_so' AND t.chi_so = 'dti' AND cap = 'tinh';

-- hoa_don_dnnvv 1: sellers and revenue by province, trade and month
SELECT tinh, nganh, date_trunc('month', ngay_lap) AS thang, count(DISTINCT nguoi_ban_pid) AS nguoi_ban,
       sum(doanh_thu_vnd) AS doanh_thu_vnd
FROM hoa_don_dnnvv GROUP BY tinh, nganh, thang;

-- hoa_don_dnnvv 2: share of revenue sold online, by trade
SELECT nganh, sum(doanh_thu_vnd) FILTER (WHERE ban_truc_tuyen) / sum(doanh_thu_vnd) AS ty_le_truc_tuyen
FROM hoa_don_dnnvv GROUP BY nganh;

-- hoa_don_dnnvv 3: what tourists spend, by means of payment
SELECT thanh_toan, count(*) AS so_hoa_don, sum(doanh_thu_vnd) AS doanh_thu_vnd
FROM hoa_don_dnnvv WHERE khach_du_lich GROUP BY thanh_toan;

-- hoa_don_dnnvv 4: share of digital services in revenue, by province (targets: 20 % overall, 7 % a trade)
SELECT tinh, sum(doanh_thu_vnd) FILTER (WHERE nganh = 'dich_vu_so') / sum(doanh_thu_vnd) AS ty_trong
FROM hoa_don_dnnvv GROUP BY tinh;
