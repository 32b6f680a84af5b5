# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

# ruff: noqa: PT009 (the zoo tests with unittest)

import csv
import os
import shutil
import sys
import tempfile
import unittest

import nibabel as nib
import numpy as np
from monai.bundle import ConfigWorkflow
from parameterized import parameterized
from utils import check_workflow

BUNDLE_ROOT = "models/crossd_vessel_classification"
sys.path.insert(0, os.path.abspath(BUNDLE_ROOT))  # the bundle's package, needed before `run` adds the path

TEST_CASE_1 = [  # train, evaluate
    {
        "bundle_root": BUNDLE_ROOT,
        "train#trainer#max_epochs": 2,
        "epochs": 2,
        "batch_size": 3,
        "roi_size": [32, 32, 32],
        "bootstrap_samples": 100,
    }
]

TEST_CASE_2 = [{"bundle_root": BUNDLE_ROOT}]  # inference


def test_order(test_name1, test_name2):
    def get_order(name):
        if "train" in name:
            return 1
        if "eval" in name:
            return 2
        if "infer" in name:
            return 3
        return 4

    return get_order(test_name1) - get_order(test_name2)


class TestCrossDVesselCls(unittest.TestCase):
    def setUp(self):
        self.dataset_dir = tempfile.mkdtemp()
        self.output_dir = tempfile.mkdtemp()
        with open(os.path.join(self.dataset_dir, "labels.csv"), "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "label", "split"])
            for number in range(18):
                label = ("healthy", "aneurysm")[number % 2]
                name = f"{label}_{number}.nii.gz"
                voxels = np.zeros((32, 32, 32), dtype=np.uint8)
                voxels[14:18, 14:18, :] = 1
                if label == "aneurysm":
                    voxels[10:22, 10:22, 12:20] = 1
                nib.save(nib.Nifti1Image(voxels, np.eye(4)), os.path.join(self.dataset_dir, name))
                writer.writerow([name, label, ("train", "val", "test")[number // 2 % 3]])

    def tearDown(self):
        shutil.rmtree(self.dataset_dir)
        shutil.rmtree(self.output_dir)

    def options(self, override):
        return {**override, "dataset_dir": self.dataset_dir, "output_dir": self.output_dir}

    @parameterized.expand([TEST_CASE_1])
    def test_train_eval_config(self, override):
        bundle_root = override["bundle_root"]
        train_file = os.path.join(bundle_root, "configs/train.json")
        eval_file = os.path.join(bundle_root, "configs/evaluate.json")
        labels = os.path.join(self.dataset_dir, "labels.csv")

        trainer = ConfigWorkflow(
            workflow_type="train",
            config_file=train_file,
            logging_file=os.path.join(bundle_root, "configs/logging.conf"),
            meta_file=os.path.join(bundle_root, "configs/metadata.json"),
            labels=labels,
            **self.options(override),
        )
        check_workflow(trainer, check_properties=True)
        self.assertTrue(os.path.exists(os.path.join(self.output_dir, "model.pt")))

        validator = ConfigWorkflow(
            # override train.json, thus set the workflow to "train" rather than "eval"
            workflow_type="train",
            config_file=[train_file, eval_file],
            logging_file=os.path.join(bundle_root, "configs/logging.conf"),
            meta_file=os.path.join(bundle_root, "configs/metadata.json"),
            labels=labels,
            **self.options(override),
        )
        check_workflow(validator, check_properties=True)
        self.assertTrue(os.path.exists(os.path.join(self.output_dir, "evaluation", "metrics.json")))

    @parameterized.expand([TEST_CASE_2])
    def test_infer_config(self, override):
        bundle_root = override["bundle_root"]

        inferrer = ConfigWorkflow(
            workflow_type="infer",
            config_file=os.path.join(bundle_root, "configs/inference.json"),
            logging_file=os.path.join(bundle_root, "configs/logging.conf"),
            meta_file=os.path.join(bundle_root, "configs/metadata.json"),
            **self.options(override),
        )
        check_workflow(inferrer, check_properties=True)
        with open(os.path.join(self.output_dir, "predictions.csv"), newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["status"] for row in rows], ["ok"] * 18)
        for row in rows:
            total = float(row["probability_healthy"]) + float(row["probability_aneurysm"])
            self.assertAlmostEqual(total, 1.0, places=5)


if __name__ == "__main__":
    loader = unittest.TestLoader()
    loader.sortTestMethodsUsing = test_order
    unittest.main(testLoader=loader)
