"""The README's picture, put together from screens that the story has just left: one wide strip with three scenes.

Every run makes it anew in build/pictures; with LIANXIN_RENEW_PICTURE set it also replaces the one in docs/pictures.
"""

from __future__ import annotations

import base64
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser

from tests.browser.visiting import PICTURES

RENEW = "LIANXIN_RENEW_PICTURE"
COMMITTED = Path(__file__).parents[2] / "docs" / "pictures" / "story.png"
BYTES_MAX = 400_000
HEIGHT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A window on a picture, `width` px wide from (left, top), shown HEIGHT px high at `scale`."""

    picture: str
    left: int
    top: int
    width: int
    scale: float
    zh: str
    en: str


SCENES = (
    Scene(picture="04-receipt", left=250, top=112, width=866, scale=0.72,
          zh="断网登记,当场出回执", en="Written down with the line dead"),
    Scene(picture="14-detail-card", left=84, top=112, width=1198, scale=0.6,
          zh="逾期催办、黄牌,站上看得见", en="Urged and carded; the station sees every step"),
    Scene(picture="public-closed-phone", left=0, top=0, width=390, scale=0.72,
          zh="凭查询码看结果", en="Closed; seen by code"),
)  # fmt: skip
_PAGE = """<style>
  body {{ margin: 0; padding: 18px; background: #f4f5f7; font: 17px 'Noto Sans CJK SC', sans-serif; color: #1f2328 }}
  main {{ display: flex; gap: 18px; width: max-content }}
  figure {{ margin: 0 }}
  div {{ overflow: hidden; border: 1px solid #d0d7de; border-radius: 8px; background: #fff; position: relative }}
  img {{ position: absolute; transform-origin: 0 0 }}
  figcaption {{ padding-top: 10px }} small {{ color: #57606a; font-size: 15px; margin-left: 8px }}
</style><main>{figures}</main>"""
_FIGURE = """<figure><div style="width:{width}px;height:{height}px">
  <img style="left:{left}px;top:{top}px;transform:scale({scale})" src="data:image/png;base64,{data}"></div>
  <figcaption><b>{number}. {zh}</b><small>{en}</small></figcaption></figure>"""


def compose(browser: Browser) -> Path:
    """The strip as PNG. Fails when it would be too heavy for a README."""
    target = PICTURES / "story.png"
    page = browser.new_page(viewport={"width": 1800, "height": 800})
    page.set_content(_PAGE.format(figures="".join(_figure(number, scene) for number, scene in enumerate(SCENES, 1))))
    box = page.locator("main").bounding_box()
    assert box is not None
    page.set_viewport_size({"width": int(box["width"]) + 36, "height": int(box["height"]) + 36})
    page.screenshot(path=target)
    page.close()
    assert target.stat().st_size <= BYTES_MAX
    if RENEW in os.environ:
        shutil.copyfile(target, COMMITTED)
    return target


def _figure(number: int, scene: Scene) -> str:
    data = base64.b64encode((PICTURES / f"{scene.picture}.png").read_bytes()).decode()
    return _FIGURE.format(
        number=number, zh=scene.zh, en=scene.en, data=data, scale=scene.scale, left=-scene.left * scene.scale,
        top=-scene.top * scene.scale, width=scene.width * scene.scale, height=HEIGHT,
    )  # fmt: skip
