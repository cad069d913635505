terraform import multizone_disk.data us-central1/demo/data
