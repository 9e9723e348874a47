"""A migrated database with a small tree of units."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.store.session import Database
from server.store.tables import Person, Unit
from tests.fresh import fresh

T0 = 1_790_000_000_000
PROVINCE, CITY, COUNTY, SISTER, STATION = "350000000000", "350100000000", "350102000000", "350103000000", "350102901000"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = Database(fresh(tmp_path / "aw.db"))
    with made.write() as session:
        tree = (
            (PROVINCE, None, 1, "福建省厅"), (CITY, PROVINCE, 2, "福州市局"), (COUNTY, CITY, 3, "鼓楼分局"), (SISTER, CITY, 3, "台江分局"),
            (STATION, COUNTY, 4, "鼓楼东街所"),
        )  # fmt: skip
        for code, parent, level, name in tree:
            session.add(Unit(code=code, parent=parent, level=level, name=name, short_name=name[:4]))
            session.flush()
        for ident, (code, name, unit) in enumerate((("P1", "林国建", COUNTY), ("P2", "曾志文", COUNTY), ("P3", "陈丽芳", SISTER)), 1):
            session.add(Person(id=ident, code=code, name=name, unit=unit, phone=f"+861390000000{ident}"))
    yield made
    made.close()
