"""The sending side of docs/getting-started.md, against a worker with its handlers."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

from worker_process import WorkerProcess

PAGE = Path(__file__).parents[2] / "docs" / "getting-started.md"


async def test_what_it_sends_is_done(kafka: str, prefix: str, tmp_path: Path) -> None:
    for name, text in re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(), re.S):
        # Beside other tests it needs topics of its own.
        own = text.replace('source="web"', f'source="web", prefix="{prefix}"')
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(own)
    environment = {"PYTHONPATH": str(tmp_path)}

    with WorkerProcess(kafka, prefix, "shop.handlers", tmp_path, **environment) as worker:
        await worker.until_said("metrics and health on")
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(tmp_path / "send.py")],
            env={**os.environ, **environment, "KAFKA_BOOTSTRAP_SERVERS": kafka},
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "{'pages': 3}\n"
        await worker.until_said("job_name=images.resize")
        assert "welcome ada@example.org shop.handlers.send_welcome_email:" in worker.log
