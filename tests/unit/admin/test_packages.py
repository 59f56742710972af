from __future__ import annotations

import pytest

from clipper.admin.packages import current_names
from clipper.errors import ClipperException


@pytest.mark.parametrize(
    ("given", "installed"),
    [
        ("sklearn", "scikit-learn"),
        ("sklearn>=1.2", "scikit-learn>=1.2"),
        ("sklearn-pandas", "sklearn-pandas"),
        ("numpy==1.26", "numpy==1.26"),
        ("https://example.org/sklearn.whl", "https://example.org/sklearn.whl"),
    ],
)
def test_a_renamed_package_is_installed_under_its_new_name(given: str, installed: str) -> None:
    assert current_names([given]) == [installed]


def test_no_list_stays_none_and_an_empty_one_empty() -> None:
    assert current_names(None) is None
    assert current_names([]) == []


def test_one_text_is_no_list_of_its_letters() -> None:
    with pytest.raises(ClipperException, match=r"must be a list of requirements: \['six'\]"):
        current_names("six")
