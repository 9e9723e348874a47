"""The table to fill in, as .xlsx: titles in Chinese, what each column wants, an example, and lists to choose from."""

import io

from server.org.imports.plan import Kind

_ROWS = 5_000


def template(kind: Kind) -> bytes:
    """A workbook whose first sheet can be imported as it is once the example is replaced."""
    import xlsxwriter  # noqa: PLC0415 - only who wants an empty table waits for it

    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream, {"in_memory": True}) as book:
        head = book.add_format({"bold": True, "bg_color": "#DCE6F1", "border": 1})
        optional = book.add_format({"bold": True, "bg_color": "#F2F2F2", "border": 1})
        as_text = book.add_format({"num_format": "@"})
        sheet, notes = book.add_worksheet(kind.title), book.add_worksheet("填写说明")
        sheet.freeze_panes(1, 0)
        for index, column in enumerate(kind.columns):
            sheet.set_column(index, index, max(12, len(column.title) * 2 + 4), as_text)
            sheet.write_string(0, index, column.title, head if column.required else optional)
            sheet.write_string(1, index, column.example, as_text)
            notes.write_row(index + 1, 0, (column.title, column.name, "必有此列" if column.required else "可无此列", column.help))
            words = column.help.split("、")
            if len(words) > 2 and all(word.isascii() and word for word in words) and sum(map(len, words)) < 240:
                sheet.data_validation(1, index, _ROWS, index, {"validate": "list", "source": words, "ignore_blank": True})
        notes.write_row(0, 0, ("列", "代号", "要求", "说明"), head)
        notes.set_column(0, 3, 24)
    return stream.getvalue()
