"""The script that people write when they have a model file and a Parquet file: MODEL INPUT OUTPUT."""

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import skops.io

ROWS_AT_A_TIME = 8_192


def main(model: str, source: str, output: str) -> None:
    """Score all rows."""
    classifier = skops.io.load(model, trusted=skops.io.get_untrusted_types(file=model))
    schema = pa.schema({"label": pa.int64()})
    with Path(output).open("wb") as file:
        with pq.ParquetWriter(file, schema) as writer:
            for batch in pq.ParquetFile(source).iter_batches(ROWS_AT_A_TIME):
                pixels = np.asarray(batch.column(0).flatten()).reshape(len(batch), -1)
                writer.write_table(pa.table({"label": classifier.predict(pixels)}, schema=schema))
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    main(*sys.argv[1:])
