"""DICOM files in, volumes out: headers, grouping into series and volumes, pixels, and writing a series."""

from crossd.data.dicom.grouping import find_series
from crossd.data.dicom.non_scans import Rejected
from crossd.data.dicom.series import Series
from crossd.data.dicom.writing import write_dicom_series
