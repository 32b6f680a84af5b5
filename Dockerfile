# docker build -t crossd .                                                                                     for a CPU
# docker build -t crossd:cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .                 for a GPU
# docker run --rm -v "$PWD:/work" crossd predict scans --output_dir output
FROM python:3.12-slim-bookworm

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=codecs,dicom,imagenet

COPY . /opt/crossd
RUN pip install --no-cache-dir torch==2.13.0 --index-url "${TORCH_INDEX}" \
    && pip install --no-cache-dir --constraint /opt/crossd/constraints.txt "/opt/crossd[${EXTRAS}]" \
    && useradd --create-home --uid 1000 reader

USER 1000
WORKDIR /work
ENTRYPOINT ["crossd"]
CMD ["--help"]
