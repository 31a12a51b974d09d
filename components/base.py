"""What every component shares: the image that holds the installed package, and nothing installed at run time."""

import os
from functools import partial

from kfp import dsl

import model

IMAGE = os.environ.get("RMTL_IMAGE", f"residual-mtl:{model.__version__}")

component = partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
