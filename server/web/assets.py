"""Where templates find scripts and styles: built third-party files by manifest, own files by content hash."""

import hashlib
import json
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles

MANIFEST = "vendor/manifest.json"
WORKER = "sw.js"
"""The one script that may serve every page of the site: it keeps the action cards for a time without the network."""


class Assets:
    """Addresses of static files under `folder`. The manifest is read once; without it third-party files are missing and pages do without."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        manifest = folder / MANIFEST
        self._built: dict[str, dict[str, str]] = json.loads(manifest.read_text("utf-8"))["files"] if manifest.exists() else {}
        self._own: dict[str, str] = {}

    @property
    def built(self) -> bool:
        """Whether the third-party files are there."""
        return bool(self._built)

    def has(self, name: str) -> bool:
        """Whether a third-party file is there, e.g. has("htmx.js")."""
        return name in self._built

    def address(self, name: str) -> str:
        """Address of a file: `uplot.js` from the manifest, else an own file such as `css/app.css`, with its hash. Raises FileNotFoundError."""
        if name in self._built:
            return f"/static/vendor/{self._built[name]['file']}"
        if name not in self._own:
            digest = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()[:12]
            self._own[name] = f"/static/{name}?v={digest}"
        return self._own[name]

    def integrity(self, name: str) -> str:
        """Subresource integrity of a third-party file."""
        return self._built[name]["integrity"]


class CachedFiles(StaticFiles):
    """Static files: what carries its hash in its name is kept for a year, everything else is asked for again and mostly answered 304."""

    def file_response(self, full_path: "str | Path", *args: object, **kwargs: object) -> Response:  # type: ignore[override]
        """The file with its cache policy."""
        response = super().file_response(full_path, *args, **kwargs)  # type: ignore[arg-type]
        hashed = Path(full_path).parent.name == "vendor"
        if Path(full_path).name == WORKER:
            response.headers["Service-Worker-Allowed"] = "/"
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        return response
