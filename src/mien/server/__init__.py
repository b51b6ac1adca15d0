"""The server: photos, clips and live frames over HTTP, on this machine alone unless set otherwise.

`settings` holds what may be set, `guard` refuses what is not meant for us, `upload` takes files in, `reader`
reads photos of many requests together, `jobs` clips in processes of their own, `live` a camera's frames,
and `app` puts them together. FastAPI comes with the extra `serve`; nothing outside this room needs it.
"""
