"""What every page is held to, measured in the page itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from service.demo import town
from service.node import Node

TEXT_PX_MIN = 16
HAN = re.compile(r"[\u3400-\u9fff]+")
MASKED = re.compile(r"[\u3400-\u9fff]\*+")  # a name before anybody gave a reason to see it
# A code or a placeholder that nobody turned into words.
RAW = re.compile(r"\b[a-z]+(?:_[a-z0-9]+)+\b|%\(|\bNone\b|\bState\.|&lt;|\{\{")

_SIZES = """(least) => {
  const found = [], root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.querySelectorAll('body *')]
      .filter(e => e.getBoundingClientRect().right > root.clientWidth + 1);
    found.push(`wider than the window by ${root.scrollWidth - root.clientWidth}px: `
      + wide.slice(0, 3)
        .map(e => `<${e.tagName.toLowerCase()} class="${e.className.baseVal ?? e.className}">`).join(' '));
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), small = new Set();
  while (texts.nextNode()) {
    const holder = texts.currentNode.parentElement, words = texts.currentNode.textContent.trim();
    if (!words || holder.closest('svg, [aria-hidden=true]') || !holder.getClientRects().length) continue;
    const size = parseFloat(getComputedStyle(holder).fontSize);
    if (size < least) small.add(`${size}px: ${words.slice(0, 24)}`);
  }
  found.push(...[...small].map(text => 'small text ' + text));
  if (document.querySelector('script')) found.push('a script');
  return found;
}"""
_WORDS = """() => {
  const said = [document.title, document.body.innerText];
  const labelled = '[alt], [title], [placeholder], [aria-label], option, [data-label], input[type=submit]';
  for (const e of document.querySelectorAll(labelled))
    if (!e.closest('[lang=zh], [hreflang=zh]'))
      said.push(e.getAttribute('alt') || '', e.title || '', e.placeholder || '',
      e.getAttribute('aria-label') || '', e.text || '', e.dataset?.label || '', e.type === 'submit' && e.value || '');
  for (const e of document.querySelectorAll('svg text, svg title, svg desc')) said.push(e.textContent);
  for (const e of document.querySelectorAll('[lang=zh], [aria-hidden=true]'))
    said[1] = said[1].replace(e.innerText, '');
  return said.filter(Boolean).join('\\n');
}"""


def sizes(page: Page) -> list[str]:
    """Wider than the window, text under 16 px, or a script where there should be none."""
    found: list[str] = page.evaluate(_SIZES, TEXT_PX_MIN)
    return found


def spoken(page: Page) -> str:
    """All words of the page, those of lists, pictures and labels included."""
    found: str = page.evaluate(_WORDS)
    return found


def accessibility(page: Page) -> list[str]:
    """Serious and critical findings of axe, each with the first element it names."""
    options = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
    violations = Axe().run(page, options=options).response["violations"]
    return [
        f"axe {one['id']} ({one['impact']}): {one['nodes'][0]['html'][:160]} {_contrast(one['nodes'][0])}"
        for one in violations
        if one["impact"] in ("serious", "critical")
    ]


def _contrast(node: dict[str, Any]) -> str:
    data = next((check.get("data") for check in node["any"] if check["id"] == "color-contrast"), None) or {}
    return f"{data['fgColor']} on {data['bgColor']} = {data['contrastRatio']}" if "fgColor" in data else ""


def raw_codes(said: str, data: Iterable[str]) -> list[str]:
    return [f"raw code {found}" for found in sorted(set(RAW.findall(without(said, data))))]


def chinese_left(said: str, data: Iterable[str]) -> list[str]:
    """Chinese on an English page that is not somebody's data."""
    return [f"Chinese {found}" for found in sorted(set(HAN.findall(MASKED.sub(" ", without(said, data)))))]


def without(said: str, data: Iterable[str]) -> str:
    for value in data:
        said = said.replace(value, " ")
    return said


def data_of(*nodes: Node) -> list[str]:
    """Every text that somebody typed or that is master data, longest first: what no translation touches."""
    found = {account.name for account in town.accounts()}
    for node in nodes:
        with node.reading() as connection:
            subjects = node.ledger.subjects(connection, "", None, 100_000)
            for events in node.ledger.read_subjects(connection, subjects).values():
                for event in events:
                    found |= set(_texts(msgspec.json.decode(event.body) if event.body else None))
    return sorted(
        (text for whole in found for text in {whole, *whole.split("\n")} if HAN.search(text)), key=len, reverse=True
    )


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
