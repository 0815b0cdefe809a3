"""Rows in and out: CSV, TSV and JSONL of any size, read and written as streams."""

from llmtriage.tables.formats import TableFormat, format_of
from llmtriage.tables.reading import Row, Table, read_rows
from llmtriage.tables.writing import RowWriter, encode_header, encode_row, open_writer

__all__ = ["Row", "RowWriter", "Table", "TableFormat", "encode_header", "encode_row", "format_of", "open_writer", "read_rows"]
