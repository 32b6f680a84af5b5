"""What the tests of DICOM share: made series, and changes of their headers."""

from __future__ import annotations

import pydicom
import pytest
from crossd.data import find_series


@pytest.fixture
def only():
    """The one series of files of which none is rejected."""

    def find(files):
        series, rejected = find_series(files)
        assert rejected == []
        assert len(series) == 1, [str(item) for item in series]
        return series[0]

    return find


@pytest.fixture
def edit():
    """Change elements of a DICOM file; None removes one."""

    def change(file, **elements):
        dataset = pydicom.dcmread(file)
        for keyword, value in elements.items():
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)
        dataset.save_as(file)

    return change
