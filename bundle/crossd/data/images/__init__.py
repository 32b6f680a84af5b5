"""Labelled 2D images: folders, zip files, lists and arrays as one corpus, and the transforms of 2D training."""

from crossd.data.images.corpus import open_source, read_corpus
from crossd.data.images.store import ImageStore
from crossd.data.images.transforms import CentreResizedCropd, RandResizedCropd, ReadImage2Dd
