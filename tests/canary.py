"""Canaries: secrets that look random, what finds them in what comes back, and statements of every sort after them."""

import base64
import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sandbox.core.errors import SandboxError
from tests.grammar import Grammar

CORPUS = Path(__file__).with_name("attacks") / "sql.jsonl"
HEAVY = {"resource", "parser_dos", "engine_crash"}
RELATION = "phieu"
"""What statements are written about, until they are told of another."""


def word(chance: Random) -> str:
    """A secret word."""
    return "".join(chance.choices("QXZJKVWBPYG", k=14))


def number(chance: Random) -> int:
    """A secret number."""
    return chance.randrange(3 * 10**14, 9 * 10**14)  # exact as a double too


class Detector:
    """Finds secrets in bytes: any eight letters or nine digits in a row of one, and its whole in other writings."""

    def __init__(self, secrets: Mapping[str, str | int]) -> None:
        needles = {name: [*self._writings(secret)] for name, secret in secrets.items()}
        self._names = {needle: name for name, found in needles.items() for needle in found}
        self._pattern = re.compile(b"|".join(map(re.escape, self._names)))

    @staticmethod
    def _writings(secret: str | int) -> Iterator[bytes]:
        text = str(secret)
        size = 9 if isinstance(secret, int) else 8
        for written in {text, text.lower(), text[::-1]}:
            yield from (written[at : at + size].encode() for at in range(len(written) - size + 1))
            yield written.encode().hex().encode()
            yield written.encode().hex().upper().encode()
            yield base64.b64encode(written.encode())[:16]
            yield written.encode("utf-16-le")
        if isinstance(secret, int):
            yield from (struct.pack(form, secret) for form in ("<q", ">q", "<d"))

    def found(self, content: bytes | str) -> set[str]:
        """The names of the secrets in it."""
        content = content.encode(errors="surrogatepass") if isinstance(content, str) else content
        return {self._names[needle] for needle in self._pattern.findall(content)}


def said(error: SandboxError) -> str:
    """All that an error says."""
    return "\n".join([repr(error), error.code, error.message, error.hint, *error.reasons, *map(repr, error.args)])


HOSTILE = """
    SELECT * FROM '{path}'
    SELECT * FROM read_text('{path}')
    SELECT * FROM read_blob('{path}')
    SELECT content FROM read_text(['{path}', '{path}'])
    SELECT * FROM read_csv('{path}', header = false)
    SELECT * FROM read_parquet('{path}')
    SELECT * FROM glob('{path}')
    SELECT * FROM parquet_metadata('{path}')
    SELECT * FROM parquet_kv_metadata('{path}')
    SELECT * FROM sniff_csv('{path}')
    SELECT khu FROM phieu WHERE khu IN (SELECT content FROM read_text('{path}'))
    SELECT getenv('SANDBOX_OPA_TOKEN')
    SELECT getvariable('min_group')
    SELECT * FROM duckdb_settings()
    SELECT * FROM duckdb_secrets(redact = false)
    SELECT * FROM duckdb_views()
    SELECT * FROM duckdb_databases()
    SELECT * FROM duckdb_columns()
    SELECT * FROM duckdb_logs
    SELECT * FROM pragma_database_list
    SELECT * FROM information_schema.tables
    SELECT * FROM kho
    SELECT * FROM memory.main.kho
    SELECT bi_mat, ma FROM phieu
    SELECT phieu.bi_mat FROM phieu
    SELECT stats(so) FROM phieu
    SELECT min(so), max(so), min(ghi_chu), max(ghi_chu) FROM phieu
    SELECT CAST(ghi_chu AS INTEGER) FROM phieu
    SELECT error(ghi_chu) FROM phieu WHERE khu = 'K9'
    SELECT CASE WHEN khu = 'K9' THEN CAST('LEAK ' || ghi_chu AS INTEGER) ELSE 1 END FROM phieu
    SELECT * FROM query('SELECT * FROM kho')
    SELECT * FROM query_table('kho')
    SELECT * FROM (DESCRIBE phieu)
    SELECT * FROM (SUMMARIZE phieu)
    SELECT * FROM phieu AT (VERSION => 1)
    EXPLAIN ANALYZE SELECT * FROM phieu WHERE so > 5
    ATTACH '{path}' AS other (READ_ONLY)
    ATTACH '{path}'; SELECT * FROM beside.phieu
    COPY phieu FROM '{path}'
    COPY phieu TO '{path}'
    SET home_directory = '{path}'
    SET temp_directory = '{path}'; SELECT * FROM duckdb_temporary_files()
    PRAGMA database_size
    CREATE TABLE x AS SELECT * FROM '{path}'
    CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')
    IMPORT DATABASE '{path}'
    LOAD '{path}'
    CALL duckdb_extensions()
    SELECT rowid, * FROM phieu
    WITH x AS (COPY (SELECT * FROM phieu) TO '{path}') SELECT * FROM x
    SELECT * FROM sqlite_master
    SELECT current_setting('home_directory'), current_setting('allowed_paths')
    SELECT json_serialize_plan('SELECT * FROM kho')
"""
LINES = [json.loads(line) for line in CORPUS.read_text("ascii").splitlines()]
ATTACKS = [line["sql"].replace("bus_trips", RELATION) for line in LINES if line["category"] not in HEAVY]
TEMPLATES = [line.strip() for line in HOSTILE.strip().splitlines()]
TOKEN = re.compile(r"\w+|'[^']*'|\s+|.", re.DOTALL)
SPLICES = (
    *(
        "kho",
        "bi_mat",
        "ma",
        "*",
        "'K9'",
        "NULL",
        "--",
        "/*",
        "*/",
        ";",
        "$1",
        "?",
        "(",
        ")",
        "'",
        '"',
        "\\",
        "\0",
        "\ud800",
    ),
    *("getenv", "read_text", "current_setting", "stats", "error", "UNION ALL SELECT", "FROM kho", "rowid", "1e999"),
    *(
        "::INTEGER",
        "::ENUM('a')",
        "::STRUCT(a INT)",
        "[1:2]",
        ".bi_mat",
        "COLUMNS(*)",
        "9223372036854775807",
        "𝄞",
        "\u200b",
    ),
)


@dataclass(frozen=True)
class Pen:
    """Writes statements of every sort."""

    chance: Random
    paths: list[str]
    relations: Mapping[str, Mapping[str, str]]

    def honest(self) -> str:
        return Grammar(self.chance, self.relations).query().sql

    def hostile(self) -> str:
        made = self.chance.choice((*TEMPLATES, *ATTACKS))
        return made.replace("{path}", self.chance.choice(self.paths))

    def cut(self) -> str:
        sql = self.chance.choice((self.honest, self.hostile))()
        return sql[: self.chance.randrange(1, len(sql) + 1)]

    def mutated(self) -> str:
        tokens = TOKEN.findall(self.chance.choice((self.honest, self.honest, self.hostile))())
        for _ in range(self.chance.randrange(1, 4)):
            at = self.chance.randrange(len(tokens))
            new = self.chance.choice((*SPLICES, self.chance.choice(tokens), f"'{self.chance.choice(self.paths)}'"))
            tokens[at : at + self.chance.randrange(2)] = [new]
        return "".join(tokens)

    def smuggled(self) -> str:
        """Something hostile in the middle of something honest."""
        inner, outer = self.hostile(), self.honest()
        form = self.chance.choice(
            (
                "SELECT * FROM ({0}) x",
                "WITH x AS ({0}) {1}",
                "{1} UNION ALL {0}",
                "{1}; {0}",
                "SELECT ({0}), 1",
                "{0} -- {1}",
            )
        )
        return form.format(inner, outer)

    def any(self) -> str:
        return self.chance.choice((self.honest, self.hostile, self.cut, self.mutated, self.smuggled))()
