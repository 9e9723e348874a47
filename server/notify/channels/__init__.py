"""One file per channel; each has one class with one method, send()."""
