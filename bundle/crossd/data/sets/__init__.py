"""The public data sets known by name, one module each: the published layout in, labels.csv (and volumes) out."""

from crossd.data.sets.by_name import DATASETS, prepare_datalist
