from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from comanda_cli.documents import BrokenYamlError, format_path, parse_path, read_documents
from comanda_cli.folder import Folder
from comanda_contract.errors import InvalidInputError
from comanda_contract.resources import WhatsAppTenant

DEMO = Path(__file__).parents[2] / "cli" / "comanda_cli" / "demo_tenants"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(DEMO, tmp_path / "tenants")
    return tmp_path / "tenants"


def edit(folder: Path, file: str, old: str, new: str) -> int:
    """Replace a text in a file; returns the line on which it stood."""
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


class TestDocuments:
    def test_every_path_knows_its_line(self) -> None:
        text = "a: 1\nb:\n  - c: 2\n  - {d: [3]}\n---\ne: 4\n"
        first, second = read_documents(text)
        assert first.data == {"a": 1, "b": [{"c": 2}, {"d": [3]}]}
        assert [first.line_of(parse_path(path)) for path in ("a", "b", "b[0].c", "b[1].d[0]", "b[1].x.y")] == [
            1,
            2,
            3,
            4,
            4,
        ]
        assert second.line_of(("e",)) == 6

    @pytest.mark.parametrize("path", ["a", "spec.items[2].name", "data.flow[0][1]"])
    def test_paths_read_as_they_are_written(self, path: str) -> None:
        assert format_path(parse_path(path)) == path

    @pytest.mark.parametrize(
        ("text", "line"),
        [("a: [1\nb: 2", 2), ("a: 1\n\tb: 2", 2), ("a: 'x", 1), ("a: b: c", 1), ("x: !!python/none 1", 1)],
    )
    def test_what_is_no_yaml_says_on_which_line(self, text: str, line: int) -> None:
        with pytest.raises(BrokenYamlError) as caught:
            read_documents(text)
        assert caught.value.line == line

    def test_empty_documents_are_left_out(self) -> None:
        assert read_documents("---\n---\n# nothing\n") == []


class TestFolder:
    def test_the_demo_is_in_order(self, folder: Path) -> None:
        contents = Folder(folder).read()
        assert contents.problems == ()
        assert sorted(tenant.metadata.key for tenant in contents.of(WhatsAppTenant)) == [
            "default/farol",
            "default/napoli",
            "parrilla/parrilla",
        ]

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("phoneNumberId:", "phoneNumbrId:", "is not a field of this resource"),
            ('"106540352242922"', '"12"', "spec.phoneNumberId: String should have at least 5"),
            ("plan: standard", "plan: gold", "spec.plan: Input should be 'standard' or 'enterprise'"),
            ("plan: standard", "plan: enterprise", "plan enterprise needs the section enterprise"),
            ("kind: WhatsAppTenant", "kind: WhatsAppTennant", "kind: is comanda.dev/v1alpha1/WhatsAppTennant"),
            ("kind: Secret", "knd: Secret", "is no Kubernetes resource"),
            ("price: 9490", "price: lots", "restaurant.yaml: menu.categories[0].items[1].price"),
            ("latitude: -33.4450", "latitude: south", "restaurant.yaml: location.latitude"),
            ("    name: Pizzería Napoli", "    name: [Pizzería", "restaurant.yaml: is no YAML"),
        ],
    )
    def test_a_mistake_is_named_with_file_line_and_rule(self, folder: Path, old: str, new: str, words: str) -> None:
        line = edit(folder, "napoli.yaml", old, new)
        problems = Folder(folder).read().problems
        assert any(words in str(problem) and problem.file == "napoli.yaml" for problem in problems), problems
        if "is no YAML" not in words and "section enterprise" not in words and "no Kubernetes" not in words:
            assert line in {problem.line for problem in problems}

    def test_all_mistakes_of_a_file_are_named_at_once(self, folder: Path) -> None:
        edit(folder, "napoli.yaml", "price: 9490", "price: lots")
        edit(folder, "napoli.yaml", "radius_km: 3", "radius_km: far")
        assert len(Folder(folder).read().problems) == 2

    def test_a_broken_file_keeps_its_last_good_content(self, folder: Path) -> None:
        reader = Folder(folder)
        reader.read()
        edit(folder, "napoli.yaml", "price: 9490", "price: lots")
        contents = reader.read()
        assert len(contents.problems) == 1
        assert len(contents.of(WhatsAppTenant)) == 3

    def test_a_removed_file_is_gone(self, folder: Path) -> None:
        reader = Folder(folder)
        reader.read()
        (folder / "napoli.yaml").unlink()
        assert len(reader.read().of(WhatsAppTenant)) == 2

    def test_the_same_resource_in_two_files_is_refused_in_the_second(self, folder: Path) -> None:
        shutil.copy(folder / "napoli.yaml", folder / "z.yaml")
        problems = Folder(folder).read().problems
        assert {problem.file for problem in problems} == {"z.yaml"}
        assert "is in napoli.yaml already" in str(problems[0])

    def test_kinds_of_others_are_ignored(self, folder: Path) -> None:
        (folder / "other.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n")
        contents = Folder(folder).read()
        assert contents.problems == ()
        assert contents.files["other.yaml"].ignored == ("Namespace",)

    def test_a_file_that_is_no_text_is_refused(self, folder: Path) -> None:
        (folder / "bad.yaml").write_bytes(b"\xff\xfe\x00")
        assert "UTF-8" in str(Folder(folder).read().problems[0])

    def test_no_problem_shows_a_secret(self, folder: Path) -> None:
        edit(folder, "napoli.yaml", "  accessToken: demo-token-of-napoli", "  accessToken: [canary-secret]")
        problems: Any = Folder(folder).read().problems
        assert problems
        assert "canary" not in str([str(problem) for problem in problems])

    def test_a_missing_folder_says_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="-f"):
            Folder(tmp_path / "nowhere").read()
