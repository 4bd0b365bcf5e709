"""Changing a database behind the exchange's back, as somebody would who has its file."""

import sqlalchemy as sa


def forge(url: str, *statements: str) -> None:
    """Take the triggers away that forbid change, and change what these statements say; SQLite only."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        triggers = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all()
        for name in triggers:
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()
