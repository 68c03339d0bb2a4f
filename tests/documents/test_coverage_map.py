"""The coverage map: what stands on it, what it never contains, and that nobody is locked out by how it is drawn."""

import math
import re
from collections.abc import Mapping
from datetime import date
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.documents.coverage_map import LANDSCAPE, NARROW, Sheet, draw
from service.documents.map_words import STATE_WORDS
from service.domain.coverage import (
    Coverage,
    CoverageSettings,
    Pause,
    ReceptionHeld,
    StationSite,
    Village,
    VillageState,
)
from service.domain.coverage_compiling import compile_coverage
from service.domain.coverage_mapping import coverage_from_mapping, coverage_to_mapping
from service.domain.geometry import Point

TODAY = date(2026, 11, 23)
SVG = "{http://www.w3.org/2000/svg}"


def at(east_m: float, north_m: float) -> Point:
    return Point(lat=23.52 + north_m / 111_195, lng=116.05 + east_m / 101_960, frame="cgcs2000")


def site(code: str, name: str, village_code: str, opened_on: date | None = date(2025, 1, 1)) -> StationSite:
    return StationSite(code=code, name=name, village_code=village_code, opened_on=opened_on)


def town() -> Coverage:
    """Fourteen places, every state, a paused and a planned station, one village without a point, one without count."""
    places: list[tuple[str, int | None, Point | None]] = [
        ("钱坑居委", 5200, at(0, 0)),
        ("钱东村", 3120, at(900, 300)),
        ("钱西村", 2800, at(-1000, 250)),
        ("钱北村", 1900, at(150, 1100)),
        ("钱南村", 2450, at(-200, -950)),
        ("径口村", 1710, at(2600, 900)),
        ("庵下村", 980, at(2900, -700)),
        ("顶联村", 1330, at(-2900, 1300)),
        ("上塘村", 2240, at(-3200, -400)),
        ("下塘村", 1800, at(-2300, -2100)),
        ("竹排坑村", 620, at(4700, 2200)),
        ("坪埔村", 1450, at(1500, -2600)),
        ("埔龙尾村", None, at(4500, -2500)),
        ("白石仓村", 760, None),
    ]
    villages = [
        Village(code=f"v{n:02}", name=name, population=population, point=point)
        for n, (name, population, point) in enumerate(places)
    ]
    paused = StationSite(
        code="jk",
        name="径口站",
        village_code="v05",
        opened_on=date(2025, 6, 1),
        pauses=(Pause(from_on=date(2026, 11, 1)),),
    )
    planned = StationSite(code="pb", name="坪埔站", village_code="v11", planned_on=date(2027, 5, 1))
    stations = [
        site("zx", "镇中心站", "v00"),
        site("qd", "钱东站", "v01"),
        site("st", "上塘站", "v08"),
        paused,
        planned,
    ]
    receptions = [
        ReceptionHeld(on=date(2026, 11, 16), station_code="zx"),
        ReceptionHeld(on=date(2026, 10, 1), village_code="v11"),
    ]
    return compile_coverage(villages, stations, receptions, CoverageSettings(), TODAY)


def compiled(villages: list[Village], stations: list[StationSite] | None = None) -> Coverage:
    return compile_coverage(villages, stations or [], [], CoverageSettings(), TODAY)


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter(f"{SVG}text")]


# --- what stands on it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sheet", [LANDSCAPE, NARROW])
def test_what_every_figure_rests_on_is_printed_on_the_map(sheet: Sheet) -> None:
    shown = " ".join(texts(draw(town(), sheet=sheet, place="钱坑镇")))
    for part in (
        "钱坑镇联络站覆盖图",
        "示意图,非行政区域界线",
        "截至2026-11-23",
        "范围R = 2,500米(直线)",
        "权重:居民人数",
        "状态未知1个村居",
        "未计入到站率2/14个村居",
    ):
        assert part in shown


def test_every_village_is_named_with_its_state_in_words() -> None:
    svg = draw(town())
    shown = texts(svg)
    for row in town().villages:
        if row.point is not None:
            assert row.name in shown
            described = [element.text or "" for element in parsed(svg).iter(f"{SVG}title")]
            assert any(text.startswith(f"{row.name}: {STATE_WORDS[row.state]}") for text in described)


def test_villages_that_cannot_be_drawn_or_counted_are_listed_by_name() -> None:
    shown = " ".join(texts(draw(town())))
    assert "无可用坐标,未画出:白石仓村(未知)" in shown
    assert "人口未知,不计入各率:埔龙尾村" in shown


def test_reach_is_shown_with_both_neighbouring_radii_and_its_denominators() -> None:
    coverage = town()
    shown = " ".join(texts(draw(coverage)))
    assert f"到站覆盖率 {coverage.reach.residents.percent}%" in shown
    assert f"2,250米 {coverage.reach_near.residents.percent}%" in shown
    assert f"2,750米 {coverage.reach_far.residents.percent}%" in shown
    assert f"{coverage.reach.residents.part:,}/{coverage.reach.residents.whole:,}人" in shown


def test_a_share_of_nobody_is_a_dash() -> None:
    assert "到站覆盖率 -" in texts(draw(compiled([])))


def test_marks_say_what_is_paused_planned_or_not_known() -> None:
    shown = texts(draw(town()))
    assert "站点暂停" in shown
    assert "拟建站 2027年第2季度" in shown
    assert "人口未知" in shown


def test_two_villages_on_one_coordinate_share_a_mark_with_both_names() -> None:
    villages = [
        Village(code="a", name="甲村", population=5, point=at(0, 0)),
        Village(code="b", name="乙村", population=5, point=at(0, 0)),
        Village(code="c", name="丙村", population=5, point=at(4000, 0)),
    ]
    svg = draw(compiled(villages), link=lambda code: f"/areas/{code}")
    assert "甲村 未覆盖" in texts(svg)
    assert "乙村 未覆盖" in texts(svg)
    focusable = [a.get("href") for a in parsed(svg).iter(f"{SVG}a") if a.get("tabindex") is None]
    assert focusable == ["/areas/a", "/areas/b", "/areas/c"]


def test_a_name_that_fits_nowhere_is_counted_not_lost() -> None:
    crowd = [
        Village(code=f"v{n:03}", name=f"名字第{n}村", population=1, point=at(n % 20 * 40, n // 20 * 40))
        for n in range(300)
    ]
    svg = draw(compiled(crowd), sheet=NARROW)
    named = sum(text.startswith("名字第") for text in texts(svg))
    assert named < 300
    assert f"{300 - named}个村居的名称未能标出,见列表" in texts(svg)


def test_a_map_without_any_point_says_so() -> None:
    assert "没有可用的坐标" in texts(draw(compiled([Village(code="a", name="甲村")])))


# --- in public -------------------------------------------------------------------------------------------------


def test_the_public_map_draws_points_and_no_cell() -> None:
    inside, public = draw(town()), draw(town(), boundaries=False)
    cells = re.compile(r'<path d="M[^"]*Z" fill="url\(#')
    assert len(cells.findall(inside)) == 13
    assert not cells.findall(public)
    assert "每格表示离该村点最近的地方" not in texts(public)
    assert set(texts(inside)) >= {"钱东村"} <= set(texts(public))


# --- reading it ------------------------------------------------------------------------------------------------


def test_without_links_the_map_is_one_image_with_a_name_and_a_summary() -> None:
    root = parsed(draw(town(), place="钱坑镇"))
    assert root.get("role") == "img"
    named = {element.get("id"): element.text or "" for element in root.iter() if element.get("id")}
    assert named[root.get("aria-labelledby")] == "钱坑镇联络站覆盖图 · 示意图,非行政区域界线"
    assert f"未覆盖 {town().states[VillageState.GAP]}个村居" in named[root.get("aria-describedby")]
    assert not list(root.iter(f"{SVG}a"))


def test_with_links_the_keyboard_meets_each_village_once() -> None:
    root = parsed(draw(town(), link=lambda code: f"/areas/{code}"))
    links = list(root.iter(f"{SVG}a"))
    reachable = [a for a in links if a.get("tabindex") is None]
    hidden = [a for a in links if a.get("tabindex") == "-1"]
    assert root.get("role") == "group"
    assert [a.get("href") for a in reachable] == [f"/areas/v{n:02}" for n in range(13)]
    assert all(a.get("aria-label") for a in reachable)
    assert all(a.get("aria-hidden") == "true" for a in hidden)


@pytest.mark.parametrize("sheet", [LANDSCAPE, NARROW])
@pytest.mark.parametrize("boundaries", [True, False])
def test_no_text_is_smaller_than_14_pixels_or_leaves_the_sheet(sheet: Sheet, boundaries: bool) -> None:
    root = parsed(draw(town(), sheet=sheet, boundaries=boundaries))
    sizes = [float(text.get("font-size", 0)) for text in root.iter(f"{SVG}text")]
    assert min(sizes) >= 14
    assert int(root.get("width", 0)) == sheet.width
    bottom = max(float(text.get("y", 0)) for text in root.iter(f"{SVG}text"))
    assert bottom < int(root.get("height", 0))


def test_a_town_fits_an_a4_page_on_its_side() -> None:
    root = parsed(draw(town()))
    assert (root.get("width"), root.get("height")) == ("1123", "794")


@pytest.mark.parametrize("sheet", [LANDSCAPE, NARROW])
def test_no_name_lies_over_another(sheet: Sheet) -> None:
    root = parsed(draw(town(), sheet=sheet))
    boxes = [
        tuple(float(rect.get(key, 0)) for key in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
        if rect.get("fill-opacity")
    ]
    assert len(boxes) >= 13
    for (ax, ay, aw, ah), (bx, by, bw, bh) in combinations(boxes, 2):
        apart = ax + aw <= bx + 0.2 or bx + bw <= ax + 0.2 or ay + ah <= by + 0.2 or by + bh <= ay + 0.2
        assert apart


# --- words -----------------------------------------------------------------------------------------------------


def test_words_come_from_a_mapping_or_a_function_and_fall_back_to_chinese() -> None:
    english: Mapping[str, str] = {"未覆盖": "Gap", "%(metres)s米": "%(metres)s m"}
    farthest = town().farthest
    assert farthest is not None
    assert f"Gap {farthest.distance_m:,} m" in texts(draw(town(), labels=english))
    assert "站活 0 m" in texts(draw(town(), labels=english))
    assert "无可用坐标,未画出:白石仓村(UNKNOWN)" in texts(
        draw(town(), labels=lambda source: source.replace("未知", "UNKNOWN"))
    )


# --- what it never contains ------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [None, lambda code: f"/areas/{code}"])
def test_nothing_is_fetched_and_nothing_runs(link: None) -> None:
    svg = draw(town(), link=link)
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    names = {element.tag.removeprefix(SVG) for element in parsed(svg).iter()}
    assert names.isdisjoint({"script", "style", "image", "use", "foreignObject"})
    attributes = {name for element in parsed(svg).iter() for name in element.attrib}
    assert not {name for name in attributes if name.startswith("on") or name == "style"}
    assert set(re.findall(r"url\(([^)]*)\)", svg)) == {
        *(f"#coverage-landscape-{state.value}" for state in VillageState),
        "#coverage-landscape-clip",
    }


def test_names_and_addresses_are_escaped() -> None:
    nasty = "</title><script>alert('1')</script>\"&\x00\x0b\ud800"
    village = Village(code='"><x', name=nasty, population=1, point=at(0, 0))
    lost = Village(code="b", name=nasty)
    svg = draw(
        compiled([village, lost], [site("s", nasty, '"><x')]),
        link=lambda code: f"/areas/{code}?a=1&b=2",
        place=nasty,
        labels=lambda source: source + "<b>",
    )
    names = {element.tag.removeprefix(SVG) for element in parsed(svg).iter()}
    assert names.isdisjoint({"script", "b", "x"})
    assert [a.get("href") for a in parsed(svg).iter(f"{SVG}a")] == ['/areas/"><x?a=1&b=2'] * 2


def test_two_maps_on_one_page_share_no_id() -> None:
    one, other = draw(town(), id_prefix="a"), draw(town(), id_prefix="b")
    narrow = draw(town(), id_prefix="a", sheet=NARROW)
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (one, other, narrow)]
    assert all(first.isdisjoint(second) for first, second in combinations(ids, 2))


def test_the_same_coverage_gives_the_same_bytes() -> None:
    again = coverage_from_mapping(coverage_to_mapping(town()))
    assert draw(town()) == draw(again)
    assert len(draw(town()).encode()) < 40_000


# --- any town --------------------------------------------------------------------------------------------------

metres = st.integers(-9000, 9000)
places = st.one_of(st.none(), st.builds(at, metres, metres))
names = st.text(min_size=0, max_size=20)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(names, places, st.one_of(st.none(), st.integers(0, 9000))), max_size=12),
    st.lists(st.tuples(names, places), max_size=4),
    st.booleans(),
    st.sampled_from([LANDSCAPE, NARROW]),
)
def test_any_town_gives_a_well_formed_map(
    villages: list[tuple[str, Point | None, int | None]],
    stations: list[tuple[str, Point | None]],
    boundaries: bool,
    sheet: Sheet,
) -> None:
    rows = [
        Village(code=f"v{n}", name=name, population=population, point=point)
        for n, (name, point, population) in enumerate(villages)
    ]
    sites = [
        StationSite(code=f"s{n}", name=name, village_code="v0", point=point, opened_on=date(2025, 1, 1))
        for n, (name, point) in enumerate(stations)
    ]
    svg = draw(compiled(rows, sites), boundaries=boundaries, sheet=sheet, link=lambda code: f"/{code}")
    root = parsed(svg)
    assert root.get("width") == str(sheet.width)
    numbers = [
        element.get(key, "0") for element in root.iter() for key in ("x", "y", "cx", "cy", "r", "width", "height")
    ]
    assert all(math.isfinite(float(number)) for number in numbers)
