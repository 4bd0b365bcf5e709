"""Not a test: the process that the crash test kills. Writes from eight threads and says what was answered."""

import itertools
import sys
import threading
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.core.database import Database, Transaction, open_engine

COUNTER, ROW, LEAF = (sa.table(name, sa.column("value")) for name in ("counter", "row", "leaf"))


class Notebook:
    """A seal that writes the leaves into a table."""

    def before_commit(self, connection: Connection, leaves: list[tuple[str, bytes]]) -> object:
        if leaves:
            connection.execute(LEAF.insert(), [{"value": int(entry)} for entry, _ in leaves])
        return None

    def after_commit(self, grown: object) -> None: ...

    def after_failure(self) -> None: ...


def unit(number: int) -> Callable[[Transaction], int]:
    def write(tx: Transaction) -> int:
        tx.connection.execute(COUNTER.update().values(value=COUNTER.c.value + 1))
        tx.connection.execute(ROW.insert().values(value=number))
        tx.record(str(number), b"")
        if number % 7 == 0:
            raise ArithmeticError
        return number

    return write


def write_on(database: Database, numbers: "itertools.count[int]", saying: threading.Lock) -> None:
    for number in numbers:
        try:
            database.write(unit(number))
        except ArithmeticError:
            continue
        with saying:
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    database, numbers, saying = Database(open_engine(sys.argv[1]), Notebook()), itertools.count(1), threading.Lock()
    for _ in range(8):
        threading.Thread(target=write_on, args=(database, numbers, saying)).start()
