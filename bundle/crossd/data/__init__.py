"""Scans in: finding cases, reading and preparing them, and the labels that belong to them."""

from crossd.data.cases import find_cases
from crossd.data.covariate_table import CovariateTable
from crossd.data.dicom import Rejected, find_series
from crossd.data.dicom.series import Series
from crossd.data.dicom.writing import write_dicom_series
from crossd.data.labels import read_labels
from crossd.data.masks import LoadMaskd, read_mask
from crossd.data.preprocessing import preprocessing
from crossd.data.reading import LoadImageVolumed, read_volume
from crossd.data.segmentations import read_segmentations
from crossd.data.transforms import CheckChannelsd, OrientPlaned, ScaleToUnitd
