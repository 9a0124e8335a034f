"""A filled SQLite store, copied into an empty PostgreSQL one behind the store's back."""

import sqlite3
from datetime import date

from sqlalchemy import Boolean, Date, MetaData, create_engine
from sqlalchemy.engine import make_url

from mpi.store import open_store

_ROWS = 50_000


def copy(source, target):
    """
    Copy every row of every table.

    Args:
        source, target: addresses of the stores; what the target holds of itself is replaced.
    """
    open_store(target).close()  # makes the schema
    engine = create_engine(target)
    tables = MetaData()
    tables.reflect(engine)
    read = sqlite3.connect(make_url(source).database)
    connection = engine.raw_connection()
    try:
        driver = connection.driver_connection
        with driver.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")  # all foreign keys are sound
            cursor.execute("SET synchronous_commit = off")
            for table in tables.sorted_tables:
                if table.name != "alembic_version":
                    _copy_table(read, cursor, table)
        driver.commit()
        driver.autocommit = True
        driver.execute("VACUUM ANALYZE")
        driver.execute(
            "CHECKPOINT"
        )  # else what the copy left to write is written while something is measured
    finally:
        connection.close()
        engine.dispose()
        read.close()


def _copy_table(read, cursor, table):
    names = [column.name for column in table.columns]
    cursor.execute(f'TRUNCATE "{table.name}" CASCADE')
    listed = ", ".join(f'"{name}"' for name in names)
    values = [_reader(column.type) for column in table.columns]
    rows = read.execute(f"SELECT {listed} FROM {table.name}")
    with cursor.copy(f'COPY "{table.name}" ({listed}) FROM STDIN') as sink:
        while some := rows.fetchmany(_ROWS):
            for row in some:
                sink.write_row([each(cell) for each, cell in zip(values, row, strict=True)])
    for column in table.primary_key.columns:
        if len(table.primary_key.columns) == 1 and column.autoincrement is not False and column.name == "id":
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), "
                f'GREATEST((SELECT max(id) FROM "{table.name}"), 1)) '
                f"WHERE pg_get_serial_sequence('{table.name}', 'id') IS NOT NULL"
            )


def _reader(kind):
    """What turns a cell of SQLite into one that PostgreSQL takes: booleans and dates are numbers and text there."""
    if isinstance(kind, Boolean):
        return lambda cell: None if cell is None else bool(cell)
    if isinstance(kind, Date):
        return lambda cell: None if cell is None else date.fromisoformat(cell[:10])
    return lambda cell: cell
