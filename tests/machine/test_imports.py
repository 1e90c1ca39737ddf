import subprocess
import sys

CODE = """
import sys
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from stages.machine.imports import spare_pandas

spare_pandas()
finders = list(sys.meta_path)
table = pa.table({"a": np.arange(3), "b": pa.array(["x", None, "y"]), "c": [[1.5], [], None]})
assert table["a"].to_numpy().tolist() == [0, 1, 2]
assert table.filter(pc.equal(table["a"], 1)).to_pylist() == [{"a": 1, "b": None, "c": []}]
assert "pandas" not in sys.modules

import pandas

assert sys.meta_path == finders
assert not any("Hidden" in type(finder).__name__ for finder in finders)
assert pandas.DataFrame({"a": [0, 1, 2]}).equals(table.select(["a"]).to_pandas())
assert pa.array(pandas.Series([1, 2])).to_pylist() == [1, 2]
spare_pandas()
assert pa.Table.from_pandas(pandas.DataFrame({"a": [1]})).to_pylist() == [{"a": 1}]
"""


def test_pyarrow_imports_no_pandas_until_someone_needs_it() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
