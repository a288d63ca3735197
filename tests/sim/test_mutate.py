"""Mutations change what they say, and verification sees them."""

from pathlib import Path
from typing import Any

import pytest

from systolith.bench import NONE
from systolith.verify import verify
from tests.support.mutate import flip_memory_bit, list_memories, substitute


def test_lists_the_memories_that_amaranth_wrote(chain: Any) -> None:
    (memory,) = list_memories(chain.design)
    assert (memory.module, memory.name) == ("chain.scale_layer", "weights")
    assert (memory.width, memory.depth) == (16, 2)


def test_flipped_memory_bit_is_seen(chain: Any, workdir: Path, tmp_path: Path) -> None:
    (memory,) = list_memories(chain.design)
    design = flip_memory_bit(chain.design, tmp_path / "mutant", memory, word=1, bit=8)
    assert design.sources == (tmp_path / "mutant" / "chain.v",)
    before, after = (d.sources[0].read_text() for d in (chain.design, design))
    assert after == before.replace("weights[1] = 16'h0b07;", "weights[1] = 16'h0a07;") != before
    result = verify(
        design, chain.images, chain.reference, workdir=workdir, quick=True, patterns=[NONE]
    )
    first = result.patterns[0].mismatches[0]
    assert (first.layer, first.channel) == ("scale", 3)
    assert not result.violations


@pytest.mark.parametrize(
    ("word", "bit", "message"),
    [
        (0, 16, r"^memory 'weights' has bits 0\.\.15, got bit 16$"),
        (0, -1, r"^memory 'weights' has bits 0\.\.15, got bit -1$"),
        (2, 0, r"^memory 'weights' of module 'chain\.scale_layer' has words 0\.\.1, got word 2$"),
    ],
)
def test_refuses_bits_that_are_not_there(
    chain: Any, tmp_path: Path, word: int, bit: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        flip_memory_bit(chain.design, tmp_path, list_memories(chain.design)[0], word=word, bit=bit)


def test_substitutes_once(faulty: Any, tmp_path: Path) -> None:
    mutant = substitute(faulty, tmp_path, r"(WIDTH / )8;", r"\g<1>16;")
    assert "lane < WIDTH / 16;" in mutant.sources[0].read_text()
    assert "lane < WIDTH / 8;" in faulty.sources[0].read_text()
    with pytest.raises(FileExistsError):
        substitute(faulty, tmp_path, r"(WIDTH / )8;", r"\g<1>16;")


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        ("nothing", "x", r"^the pattern must match exactly once .* r'nothing' matches 0 times$"),
        ("fault_1", "x", r"^the pattern must match exactly once .* r'fault_1' matches 2 times$"),
        ("^module faulty", "module faulty", r"^replacing .* changes nothing$"),
    ],
)
def test_refuses_substitutions_that_are_not_one(
    faulty: Any, tmp_path: Path, pattern: str, replacement: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        substitute(faulty, tmp_path, pattern, replacement)


def test_design_can_be_saved_beside_its_mutant(chain: Any, tmp_path: Path) -> None:
    mutant = flip_memory_bit(chain.design, tmp_path, list_memories(chain.design)[0], word=0, bit=0)
    mutant.save(tmp_path / "design.json")
