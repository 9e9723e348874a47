"""The measured figures of `make bench` and `archivewatch bench NAME`.

To add one: a file `bench_<name>.py` here, with

    def run(folder: Path, quick: bool) -> dict[str, Any]

`folder` is an empty folder of its own, on a disk, removed afterwards; `quick` asks for at most some 40 seconds. A benchmark that writes nothing may
leave `folder` out: arguments are passed by name. It returns `{"rows": [row(…), …], …}`: each row (`benchmarks.figures.row`) is a figure beside a bare thing
measured in the same run; further keys are details, `missing` a sentence about what could not be measured here. An exception is reported, and the others go
on. The file is found by its name: no table to edit. Its module docstring is its description; add a line to docs/reference/benchmarks.md.
"""
