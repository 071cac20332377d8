"""Recorded requests in a table: `tables.py duckdb|chdb DIRECTORY QUERY`. Reads trace.jsonl there into a table, and prints what the query gives."""

import os
import sys


def duckdb(query):
    import duckdb

    os.mkdir("requests")
    duckdb.sql("""
        COPY (
          SELECT make_timestamp(CAST(round(t * 1e6) AS BIGINT)) AS started, route, latency * 1000 AS duration_ms, status
          FROM read_json('trace.jsonl')
        ) TO 'requests/0.parquet' (FORMAT PARQUET)
    """)
    duckdb.sql(query)


def chdb(query):
    from chdb import session

    database = session.Session()
    database.query("CREATE TABLE requests (started DateTime64(6, 'UTC'), route String, duration_ms Float64, status UInt16) ENGINE = MergeTree ORDER BY route")
    database.query("""
        INSERT INTO requests
        SELECT fromUnixTimestamp64Micro(toInt64(round(t * 1e6))), route, latency * 1000, status
        FROM file('trace.jsonl', JSONEachRow, 't Float64, route String, latency Float64, status UInt16')
    """)
    sys.stdout.write(str(database.query(query)))


program, directory, query = sys.argv[1:]
os.chdir(directory)
{"duckdb": duckdb, "chdb": chdb}[program](query)
