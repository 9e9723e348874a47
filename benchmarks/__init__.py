"""The measured figures of `make bench` and `archivewatch bench NAME`.

To add one: a file `bench_<name>.py` here, with

    def run(folder: Path, quick: bool) -> dict[str, Any]

`folder` is an empty folder of its own, on a disk, removed afterwards; `quick` asks for at most some 40 seconds. Arguments are passed by name: a
benchmark that writes nothing may leave `folder` out. It returns `{"rows": [row(…), …], …}`: each row (`benchmarks.figures.row`) is a figure beside
a bare thing that was measured in the same run; further keys are details, `missing` is a sentence about what could not be measured here. An exception
is reported, and the others go on. The file is found by its name: no table to edit. Add a line to docs/reference/benchmarks.md.
"""
