-- Tables of TPC-H's schema with values of its domains, small and always the same: every choice is taken from a hash of the row's
-- number and a salt. No figures of the benchmark come of it.
CREATE MACRO pick(salt, i, n) AS (hash(salt, i) % n)::INTEGER;
CREATE MACRO one_of(salt, i, l) AS l[1 + pick(salt, i, len(l))];
CREATE MACRO money(salt, i, low, high) AS (low + pick(salt, i, (high - low) * 100) / 100)::DECIMAL(15, 2);
CREATE MACRO phone(nation, i) AS (10 + nation) || '-' || (100 + pick('p1', i, 900)) || '-' || (1000 + pick('p2', i, 9000));

CREATE TABLE region AS SELECT (i - 1)::INTEGER AS r_regionkey, ['AFRICA', 'AMERICA', 'ASIA', 'EUROPE', 'MIDDLE EAST'][i] AS r_name,
    'region ' || i AS r_comment FROM range(1, 6) t(i);

CREATE TABLE nation AS SELECT (i - 1)::INTEGER AS n_nationkey, ['ALGERIA', 'ARGENTINA', 'BRAZIL', 'CANADA', 'EGYPT', 'ETHIOPIA', 'FRANCE',
    'GERMANY', 'INDIA', 'INDONESIA', 'IRAN', 'IRAQ', 'JAPAN', 'JORDAN', 'KENYA', 'MOROCCO', 'MOZAMBIQUE', 'PERU', 'CHINA', 'ROMANIA',
    'SAUDI ARABIA', 'VIETNAM', 'RUSSIA', 'UNITED KINGDOM', 'UNITED STATES'][i] AS n_name,
    [0, 1, 1, 1, 4, 0, 3, 3, 2, 2, 4, 4, 2, 4, 0, 0, 0, 1, 2, 3, 4, 2, 3, 3, 1][i] AS n_regionkey, 'nation ' || i AS n_comment
    FROM range(1, 26) t(i);

CREATE TABLE supplier AS SELECT i AS s_suppkey, 'Supplier#' || lpad(i::VARCHAR, 9, '0') AS s_name, 'street ' || i AS s_address,
    (i % 25)::INTEGER AS s_nationkey, phone(i % 25, i) AS s_phone, money('sa', i, -999, 9999) AS s_acctbal,
    one_of('sc', i, ['quick Customer slow Complaints', 'carefully', 'blithely']) AS s_comment FROM range(1, 51) t(i);

CREATE TABLE customer AS SELECT i AS c_custkey, 'Customer#' || lpad(i::VARCHAR, 9, '0') AS c_name, 'road ' || i AS c_address,
    pick('cn', i, 25) AS c_nationkey, phone(pick('cn', i, 25), i) AS c_phone, money('ca', i, -999, 9999) AS c_acctbal,
    one_of('cm', i, ['AUTOMOBILE', 'BUILDING', 'FURNITURE', 'HOUSEHOLD', 'MACHINERY']) AS c_mktsegment, 'customer ' || i AS c_comment
    FROM range(1, 301) t(i);

CREATE TABLE part AS SELECT i AS p_partkey, one_of('n1', i, ['forest', 'green', 'navy', 'rose']) || ' '
    || one_of('n2', i, ['green', 'lemon', 'snow']) AS p_name, 'Manufacturer#' || (1 + i % 5) AS p_mfgr,
    one_of('pb', i, ['Brand#12', 'Brand#23', 'Brand#34', 'Brand#45']) AS p_brand,
    one_of('t1', i, ['ECONOMY', 'PROMO', 'MEDIUM']) || ' ' || one_of('t2', i, ['ANODIZED', 'POLISHED']) || ' '
    || one_of('t3', i, ['STEEL', 'BRASS']) AS p_type, one_of('pz', i, [1, 3, 5, 9, 14, 15, 19, 23, 36, 45, 49]) AS p_size,
    one_of('c1', i, ['SM', 'MED', 'LG']) || ' ' || one_of('c2', i, ['CASE', 'BOX', 'PACK', 'PKG', 'BAG']) AS p_container,
    money('pr', i, 900, 2000) AS p_retailprice, 'part ' || i AS p_comment FROM range(1, 201) t(i);

CREATE TABLE partsupp AS SELECT p_partkey AS ps_partkey, 1 + (p_partkey + j * 13) % 50 AS ps_suppkey,
    1 + pick('pq', p_partkey * 4 + j, 9999) AS ps_availqty, money('ps', p_partkey * 4 + j, 1, 1000) AS ps_supplycost, '' AS ps_comment
    FROM part, range(4) t(j);

CREATE TABLE lineitem AS SELECT o AS l_orderkey, 1 + pick('lp', o * 8 + n, 200) AS l_partkey,
    1 + (1 + pick('lp', o * 8 + n, 200) + pick('ls', o * 8 + n, 4) * 13) % 50 AS l_suppkey, n::INTEGER AS l_linenumber,
    (1 + pick('lq', o * 8 + n, CASE WHEN o % 50 = 0 THEN 5 ELSE 50 END) + CASE WHEN o % 50 = 0 THEN 45 ELSE 0 END)::DECIMAL(15, 2)
    AS l_quantity, money('lx', o * 8 + n, 900, 90000) AS l_extendedprice, (pick('ld', o * 8 + n, 11) / 100)::DECIMAL(15, 2) AS l_discount,
    (pick('lt', o * 8 + n, 9) / 100)::DECIMAL(15, 2) AS l_tax, one_of('lr', o * 8 + n, ['A', 'N', 'R']) AS l_returnflag,
    one_of('ll', o * 8 + n, ['F', 'O']) AS l_linestatus, DATE '1992-01-02' + pick('od', o, 2400) + 1 + pick('l1', o * 8 + n, 120) AS l_shipdate,
    DATE '1992-01-02' + pick('od', o, 2400) + 30 + pick('l2', o * 8 + n, 60) AS l_commitdate,
    DATE '1992-01-02' + pick('od', o, 2400) + 2 + pick('l1', o * 8 + n, 120) + pick('l3', o * 8 + n, 30) AS l_receiptdate,
    one_of('li', o * 8 + n, ['DELIVER IN PERSON', 'COLLECT COD', 'NONE']) AS l_shipinstruct,
    one_of('lm', o * 8 + n, ['AIR', 'AIR REG', 'MAIL', 'SHIP', 'RAIL', 'TRUCK', 'FOB']) AS l_shipmode, '' AS l_comment
    FROM range(1, 3001) t(o), range(1, 8) u(n) WHERE n <= CASE WHEN o % 50 = 0 THEN 7 ELSE 1 + pick('ln', o, 7) END;

CREATE TABLE orders AS SELECT o AS o_orderkey, 1 + 3 * (pick('oc', o, 300) // 3) + pick('ok', o, 2) AS o_custkey,
    one_of('os', o, ['F', 'O', 'P']) AS o_orderstatus, money('op', o, 900, 400000) AS o_totalprice,
    DATE '1992-01-02' + pick('od', o, 2400) AS o_orderdate,
    one_of('oy', o, ['1-URGENT', '2-HIGH', '3-MEDIUM', '4-NOT SPECIFIED', '5-LOW']) AS o_orderpriority,
    'Clerk#' || pick('oe', o, 100) AS o_clerk, 0 AS o_shippriority,
    one_of('ot', o, ['special packages requests', 'even deposits', 'regular accounts']) AS o_comment FROM range(1, 3001) t(o);
