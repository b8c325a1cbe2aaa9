"""Notes in an executed notebook what decides its outputs: python .ci/stamp.py NOTEBOOK RECORDING

So a test can tell where the outputs of a shipped notebook have to come again.
"""

import sys
from pathlib import Path

from branchpoint import files
from branchpoint.sharing.proof import hygiene
from branchpoint.sharing.proof.rerun import circumstances

notebook, recording = map(Path, sys.argv[1:])
executed = hygiene.clean(hygiene.read(notebook))
executed["metadata"]["branchpoint"] = circumstances(recording)
with files.publish(notebook) as path:
    path.write_bytes(hygiene.write(executed))
