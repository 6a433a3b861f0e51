"""One SQL text over recordings, in one of two engines: query.py duckdb|chdb GLOB < SQL. A JSON array of rows."""
import datetime
import json
import sys


def plain(value):
    """As the other engine would say it: times as text, whole numbers without a point."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.isoformat() if isinstance(value, (datetime.date, datetime.datetime)) else value


def duckdb_rows(glob, sql):
    import duckdb

    connection = duckdb.connect()
    connection.execute(
        f"CREATE VIEW recordings AS SELECT * FROM read_parquet('{glob}', hive_partitioning = {str('*' in glob).lower()})"
    )
    return [[plain(value) for value in row] for row in connection.execute(sql).fetchall()]


def chdb_rows(glob, sql):
    from chdb import session

    engine = session.Session()
    engine.query(f"CREATE VIEW recordings AS SELECT * FROM file('{glob}', Parquet)")
    answer = engine.query(sql, "JSONCompactEachRow").bytes().decode()
    return [[plain(value) for value in json.loads(line)] for line in answer.splitlines()]


if __name__ == "__main__":
    engine, glob = sys.argv[1:]
    print(json.dumps({"duckdb": duckdb_rows, "chdb": chdb_rows}[engine](glob, sys.stdin.read())))
