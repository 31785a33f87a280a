"""Makes deskledger/v1/ from the protos with grpcio-tools, which brings protoc. Run in this directory."""

import pathlib
import sys

import grpc_tools
from grpc_tools import protoc

HERE = pathlib.Path(__file__).resolve().parent
PROTO = HERE.parents[2] / "proto"
FILES = sorted(str(file) for file in (PROTO / "deskledger").rglob("*.proto"))
# protoc's own google.protobuf. The code of google.api comes with googleapis-common-protos and is not made again.
WELL_KNOWN = pathlib.Path(grpc_tools.__file__).parent / "_proto"

outputs = [f"--{kind}_out={HERE}" for kind in ("python", "pyi", "grpc_python")]
sys.exit(protoc.main(["protoc", f"-I{PROTO}", f"-I{WELL_KNOWN}", *outputs, *FILES]))
