"""YAML files of settings: their common base, finding the shipped ones, reading, and one sentence for what is wrong."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from radiomics_talent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_TYPE = re.compile(r"literal\[|constrained-|(int|float|str)$")
_WORD = re.compile(r"'([^']*)'")
NO_MODEL = "no model here (model.yaml is missing); name the folder that train wrote, or a shipped model (demo)"
_DEEPEST, _MOST_NODES = 40, 200_000
"""Settings are nested six deep, and the record of a model has a few thousand values."""
_LARGEST = 2**64
"""Whole numbers of settings are smaller."""
_MOST_WORDS = 6
"""So many known words are listed even where the nearest one is named."""
M = TypeVar("M", bound=BaseModel)
Positive = Annotated[int | float, Field(gt=0)]


class FrozenSettings(BaseModel):
    """Settings that cannot be changed, with no key that is not known and no true where a number belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        # Pydantic would take true for 1, and so would a reader of the settings not know what was meant.
        annotation = cls.model_fields[info.field_name or ""].annotation
        given = value if isinstance(value, list | tuple) else (value,)
        if annotation is not bool and any(isinstance(v, bool) for v in given):
            raise ValueError(f"expected a number, a text or a list, not true or false (got {value!r})")
        return value


def find_preset(kind: str, name: str | Path) -> Path:
    """Return the path of a preset named `name` (with or without ``.yaml``), or of the file `name`.

    Raises
    ------
    ConfigError
        Neither a file nor a preset has that name; the nearest preset is named.
    """
    file = Path(name)
    if file.is_file():
        return file
    presets = list_presets(kind)
    stem = file.stem if file.suffix in {".yaml", ".yml"} else str(name)
    # A shipped preset may also be asked for by its path in the checkout: configs/extraction/NAME.yaml.
    if stem in presets and file.parent.as_posix() in {".", f"configs/{kind}"}:
        return presets[stem]
    near = difflib.get_close_matches(stem, presets, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(f"no such file or preset; {hint}presets are {', '.join(presets)}", where=str(name))


def list_presets(kind: str) -> dict[str, Path]:
    """Return the shipped presets of one kind ('extraction', 'models', 'studies') by name."""
    return {p.stem: p for p in sorted((_configs_folder() / kind).glob("*.yaml"))}


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML (or JSON) mapping, refusing a key that is given twice.

    Raises
    ------
    ConfigError
        The file is not a YAML mapping, or not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        _refuse_expansion(text)
        # A subclass of SafeLoader: no object is ever built from a tag.
        data = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(
            f"not valid YAML: {place}{getattr(error, 'problem', None) or error}", where=str(path)
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        # What PyYAML lets through for a date, number or key that is none, such as 2024-99-99.
        raise ConfigError(f"not valid YAML: {error}", where=str(path)) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError("expected a mapping of settings (key: value)", where=str(path))
    return data


def _refuse_expansion(text: str) -> None:
    """Refuse what is nested deeper, or unfolds to more, than anybody writes: building it would take all memory."""
    sizes: dict[str | None, int] = {}
    outer: list[tuple[str | None, int]] = []
    unfolded = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            outer.append((event.anchor, unfolded))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = outer.pop()
            sizes[anchor] = unfolded - before
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in outer}:
                raise yaml.YAMLError(f"the alias *{event.anchor} stands for what it is a part of")
            unfolded += sizes.get(event.anchor, 0)
        unfolded += 1
        if len(outer) > _DEEPEST or unfolded > _MOST_NODES:
            raise yaml.YAMLError(f"nested more than {_DEEPEST} deep, or of more than {_MOST_NODES} values")


def validated(model: type[M], data: dict[str, Any], *, where: str) -> M:
    """Return `data` as `model`, or one sentence that names the key, the value and the nearest known key.

    Raises
    ------
    ConfigError
        An unknown key or a value out of range.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        told = (_sentence(model, e) for e in _one_a_value(error.errors()))
        raise ConfigError("; ".join(dict.fromkeys(told)), where=where) from error


def settings_sha256(plain: Mapping[str, Any]) -> str:
    """Return the SHA-256 of settings as plain JSON data, the same for any order of keys."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def refuse_unknown(what: str, given: Iterable[object], known: Iterable[str]) -> None:
    """Refuse names that are not known, with the nearest that is.

    Parameters
    ----------
    what : str
        What is named: 'feature class'.
    given, known : iterable of str
        Names.

    Raises
    ------
    ValueError
        A given name is not known.
    """
    names = list(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
            raise ValueError(f"unknown {what} {name!r}; {hint}")


def known_features(chosen: object, known: Mapping[str, Collection[str]]) -> object:
    """Return chosen features by class, None for all of a class, as a validator of settings wants them.

    Parameters
    ----------
    chosen : object
        What a settings file says: anything but a mapping is returned as it is, for pydantic to refuse.
    known : mapping of str to collection of str
        Features by class.

    Raises
    ------
    ValueError
        A class or a feature is not known.
    """
    if not isinstance(chosen, dict):
        return chosen
    refuse_unknown("feature class", chosen, known)
    for name, features in chosen.items():
        if isinstance(features, list | tuple):
            refuse_unknown(f"{name} feature", features, known[name])
    return {name: features or None for name, features in chosen.items()}


def _one_a_value(errors: Iterable[Any]) -> list[Any]:
    """Return of the errors about one value, which fits none of several types, the one that helps most.

    Pydantic tells for every type of a union why the value is not of it, with that type at the end of the place.
    """
    grouped: dict[tuple[Any, ...], list[Any]] = {}
    for error in errors:
        loc = tuple(error["loc"])
        names_type = error["type"] != "extra_forbidden" and len(loc) > 1 and _TYPE.match(str(loc[-1]))
        place = loc[:-1] if names_type else loc
        grouped.setdefault(place, []).append({**error, "loc": place})
    return [max(group, key=_helpfulness) for group in grouped.values()]


def _helpfulness(error: Any) -> int:
    """Rank the errors about one value: a text is a misspelt word, a number is out of range."""
    if isinstance(error["input"], str):
        return int(error["type"] == "literal_error")
    return int("ctx" in error) - int(error["type"] == "literal_error")


def _sentence(model: type[BaseModel], error: Any) -> str:
    place = ".".join(str(p) for p in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _keys_at(model, error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        return f"unknown key {place}; " + (f"did you mean {near[0]}?" if near else f"known keys are {', '.join(known)}")
    text = str(error["msg"]).removeprefix("Value error, ").replace("a valid tuple", "a list")
    value = error.get("input")
    if error["type"] == "literal_error" and isinstance(value, str):
        return f"{place}: {_misspelt(value, text)}"
    if error["type"] == "value_error":
        return f"{place}: {text}" if place else text
    return f"{place}: {text} (got {value!r})"


def _misspelt(value: str, text: str) -> str:
    """Return what is wrong with a word that is none of a few."""
    words = {word.lower(): word for word in _WORD.findall(text)}
    near = difflib.get_close_matches(value.lower(), words, n=1, cutoff=0.7)
    hint = f"; did you mean {words[near[0]]}?" if near else ""
    return f"unknown {value!r}{hint}" if near and len(words) > _MOST_WORDS else f"{text} (got {value!r}){hint}"


def _keys_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Return the keys that are known at a place of the document."""
    current: Any = model
    for part in loc:
        if isinstance(current, type) and issubclass(current, BaseModel):
            current = current.model_fields[part].annotation
        else:  # dict[str, Model]: every key has the same keys below it
            current = get_args(current)[-1]
        if type(None) in get_args(current):  # a section that may be null
            current = get_args(current)[0]
    return list(current.model_fields)


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys, of which YAML would silently keep the last."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value: int = super().construct_yaml_int(node)
        if abs(value) > _LARGEST:  # Python does not even print it
            raise yaml.constructor.ConstructorError(None, None, "a number of too many digits", node.start_mark)
        return value

    yaml_constructors: ClassVar = {**yaml.SafeLoader.yaml_constructors, "tag:yaml.org,2002:int": construct_yaml_int}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a list cannot be a key", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def find_model_folder(name: str | Path) -> Path:
    """Return the folder `name`, or that of the shipped model of this name where there is no model in it.

    A name that is neither is returned as it is: loading says that there is no model.
    """
    folder = Path(name)
    if (folder / "model.yaml").is_file():
        return folder
    shipped = _shipped_folder("models") / folder.name
    by_name = folder.parent.as_posix() in {".", "models"}
    return shipped if by_name and (shipped / "model.yaml").is_file() else folder


def _configs_folder() -> Path:
    return _shipped_folder("configs")


def _shipped_folder(name: str) -> Path:
    # A wheel carries presets and models inside the package; an editable install finds them in the checkout.
    package = Path(__file__).resolve().parent
    shipped = package / "_shipped" / name
    return shipped if shipped.is_dir() else package.parent / name
