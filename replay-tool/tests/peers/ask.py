"""Asks exported tables through other people's engines.

A request comes as JSON on standard input, the answer goes as JSON to standard output:

    engine     "duckdb" or "pandas" (which reads through pyarrow)
    parquet    the directory of an export: a directory of Parquet files per table, of which some are partitioned by day
    tables     which of its tables are counted and described
    rows_of    which of them are told whole
    questions  by name, SQL for duckdb, or the name of one of the three below for pandas, which has no SQL
    parameters by name, the values of what a question has as :name

The answer has, by table, `counts`, `columns` (names with types) and `rows`, and, by name, `answers`: lists of rows.
"""

import datetime
import json
import os
import re
import sys


def tables_in(parquet):
    """The tables of an export; what else is beside them is no directory."""
    return [entry.name for entry in os.scandir(parquet) if entry.is_dir() and not entry.name.startswith(".")]


def spelled(value):
    """What JSON has no word for: times are UTC, as the tables' own texts of them."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc)
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value)} is nothing that a table holds")


class DuckDB:
    def __init__(self, request):
        import duckdb

        self.parameters = request.get("parameters", {})
        self.connection = duckdb.connect(config={"autoinstall_known_extensions": False})
        self.connection.execute("SET TimeZone = 'UTC'; SET default_null_order = 'sqlite'")
        for table in tables_in(request["parquet"]):
            files = os.path.join(request["parquet"], table, "**", "*.parquet").replace("'", "''")
            self.connection.execute(
                f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{files}', hive_partitioning = true)"
            )

    def count(self, table):
        return self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    def columns(self, table):
        described = self.connection.execute(f"SELECT * FROM {table} LIMIT 0").description
        return [[column[0], str(column[1])] for column in described]

    def rows(self, table):
        return self.connection.execute(f"SELECT * FROM {table}").fetchall()

    def answer(self, question):
        # Here a parameter is written $name, and none may be given that is not there.
        question = re.sub(r"(?<!:):([a-z_]\w*)", r"$\1", question)
        named = set(re.findall(r"\$(\w+)", question))
        parameters = {name: value for name, value in self.parameters.items() if name in named}
        return self.connection.execute(question, parameters).fetchall()


class Pandas:
    def __init__(self, request):
        import pandas

        self.frames = {}
        for table in tables_in(request["parquet"]):
            # Integers stay what they are where some are absent; without it they would become floats.
            path = os.path.join(request["parquet"], table)
            self.frames[table] = pandas.read_parquet(path, dtype_backend="pyarrow")

    def count(self, table):
        return len(self.frames[table])

    def columns(self, table):
        return [[name, str(kind)] for name, kind in self.frames[table].dtypes.items()]

    def rows(self, table):
        frame = self.frames[table]
        columns = [frame[name].array.__arrow_array__().to_pylist() for name in frame.columns]
        return list(zip(*columns))

    def answer(self, question):
        return getattr(self, question)()

    def events_by_name(self):
        counts = self.frames["events"].groupby("event").size().sort_index()
        return [[name, int(count)] for name, count in counts.items()]

    def entries_over_all(self):
        entries = self.frames["entries"]
        times = entries["recorded_at_us"]
        return [[times.min(), times.max(), entries["version"].sum(), entries["run"].nunique()]]

    def refusals_by_reason(self):
        reasons = self.frames["refusals"].groupby("reason")["count"].agg(["size", "max"]).sort_index()
        return [[reason, int(size), int(greatest)] for reason, size, greatest in reasons.itertuples()]


def main():
    request = json.load(sys.stdin)
    engine = {"duckdb": DuckDB, "pandas": Pandas}[request["engine"]](request)
    tables = request.get("tables", [])
    answer = {
        "counts": {table: engine.count(table) for table in tables},
        "columns": {table: engine.columns(table) for table in tables},
        "rows": {table: engine.rows(table) for table in request.get("rows_of", [])},
        "answers": {name: engine.answer(question) for name, question in request.get("questions", {}).items()},
    }
    json.dump(answer, sys.stdout, default=spelled, ensure_ascii=True)


if __name__ == "__main__":
    main()
