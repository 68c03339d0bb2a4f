"""Text set in a column: where a line may end, and that nothing is wider than the column."""

from xml.etree import ElementTree

from service.documents.typesetting import SMALL, Column, text_width


def lines(column: Column) -> list[str]:
    return [ElementTree.fromstring(mark).text or "" for mark in column.marks]


def test_words_stay_whole_and_closing_punctuation_stays_with_its_word() -> None:
    column = Column(x=0, y=0, width=70)
    column.write("钱东村站活,已 reached on Monday.")
    assert lines(column) == ["钱东村站", "活,已", "reached", "on", "Monday."]
    assert all(text_width(line, SMALL) <= 70 for line in lines(column))


def test_pieces_are_broken_between_each_other_only() -> None:
    column = Column(x=0, y=0, width=130)
    column.write_pieces(["截至某日", "范围若干米", "权重人数"])
    assert lines(column) == ["截至某日", "范围若干米", "权重人数"]
    wide = Column(x=0, y=0, width=260)
    wide.write_pieces(["截至某日", "范围若干米", "权重人数"])
    assert lines(wide) == ["截至某日 · 范围若干米 · 权重人数"]


def test_a_piece_wider_than_the_column_is_broken_like_any_text() -> None:
    column = Column(x=0, y=0, width=60)
    column.write_pieces(["截至", "范围是很多很多米"])
    assert lines(column) == ["截至", "范围是很", "多很多米"]


def test_each_line_lowers_the_edge_of_what_has_been_set() -> None:
    column = Column(x=0, y=10, width=30)
    column.write("三四五")
    assert (len(column.marks), column.y) == (2, 50)
