# ruff: noqa: E501
"""Spoilt YAML: tokens in the wrong place, and the tricks of the language."""

from __future__ import annotations

from random import Random

from fuzz.mutators import TEXTS, as_bytes, spoil, spoil_text
from fuzz.seeds import Seed


def _laughs(depth: int, width: int) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * width)}]" for k in range(1, depth)]
    return "\n".join(lines)


def _merges(depth: int) -> str:
    return "m0: &m0 {a: 1}\n" + "\n".join(
        f"m{k}: &m{k} {{<<: [*m{k - 1}, *m{k - 1}], b{k}: 1}}" for k in range(1, depth)
    )


TRICKS = (
    _laughs(9, 9), _laughs(30, 2), _laughs(400, 2), _merges(30), "a: &a [*a]", "a: &a {b: *a}", "&a {? *a : b}", "mask: &m\n  roi_names: *m",
    "x: " + "[" * 3000, "x: " + "{a: " * 3000, "- " * 3000, "? " * 3000, "x: " + "[" * 3000 + "]" * 3000, "&a " * 2000, "!!str " * 2000,
    "a: !!python/object/apply:os.system ['touch exploded']", "a: !!python/name:os.system", "!!python/object/new:os.system [x]",
    "a: !!python/module:os", "a: !x {b: c}", "%TAG ! tag:yaml.org,2002:python/\n---\na: !object:x {}", "a: !!set {x, y}", "a: !!omap [x: 1]",
    "a: !!binary '%%%'", "a: !!timestamp 2024-99-99", "a: 2024-99-99", "a: 2024-01-31 25:61:61", "a: !!int 0x", "a: !!int ''", "a: !!float x",
    "a: " + "9" * 5000, "a: 0b" + "1" * 20000, "a: " + "1:" * 3000 + "1", "a: 1e999", "a: .inf", "a: 0o777", "? [a, b]\n: 1", "? {a: b}\n: 1", "? !!set {a}\n: 1",
    "<<: {setting: {binWidth: 5}}", "<<: [1, 2]", "<<: 5", "setting: {<<: &s {binWidth: 5}, binWidth: 6}", "1: 2", "null: 1", "true: 1", "1.5: 1", "2024-01-01: 1",
    "a: 1\na: 2", "---\na: 1\n---\nb: 2", "...\n", "\t", "a:\tb", "'", '"\\x"', '"\\ud800"', "|\n a", "a: |99\n b", "@", "`", "%YAML 9.9\n---\na: 1",
    "columns: {age: {type: number, min: .nan}}", "name: 5\ncolumns: {1: {type: flag}}", "models: {ridge: {C: [" + "1, " * 20000 + "1]}}",
    "models: {os.system: {command: [x]}}", "models: {subprocess.Popen: {args: [[x]]}}", "models: {sklearn.linear_model.LogisticRegression: {C: [a]}}",
    "featureClass: {glcm: [" + ", ".join(["Contrast"] * 5000) + "]}", "setting: {sigma: [1.0e-308]}", "imageType: {Wavelet: {wavelet: '" + "x" * 5000 + "'}}",
    "setting: {kernelRadius: 1000000000}", "setting: {resampledPixelSpacing: [1.0e-300, 1, 1]}", "setting: {binWidth: 1.0e-300}", "setting: {padDistance: 99999999999}",
    "mask: {roi_names: {a: ['(']}}", "mask: {roi_names: {a: ['(?P<']}}", "mask: {roi_names: {a: ['a{99999999999}']}}", "mask: {roi_names: {a: ['" + "(" * 2000 + ")" * 2000 + "']}}",
)  # fmt: skip


def spoil_yaml(rng: Random, seed: Seed) -> dict[str, bytes]:
    """Spoil words, lines or bytes of a settings file, or put one of the tricks into it."""
    text = seed.data.decode()
    kind = rng.random()
    if kind < 0.2:
        return {seed.target: spoil(rng, seed.data)}
    if kind < 0.5:
        return {seed.target: as_bytes(_with_trick(rng, text))}
    return {seed.target: as_bytes(spoil_text(rng, text, (*TEXTS, *TRICKS[-30:])))}


def _with_trick(rng: Random, text: str) -> str:
    trick = rng.choice(TRICKS)
    if rng.random() < 0.3:
        return trick
    if rng.random() < 0.5:
        return f"{trick}\n{text}" if rng.random() < 0.5 else f"{text}\n{trick}"
    lines = text.split("\n")
    k = rng.randrange(len(lines))
    inside = trick.replace("\n", f"\n{' ' * (len(lines[k]) - len(lines[k].lstrip()))}")
    key, colon, _ = lines[k].partition(":")
    lines[k] = f"{key}: {inside.partition(': ')[2] or inside}" if colon and rng.random() < 0.7 else inside
    return "\n".join(lines)
