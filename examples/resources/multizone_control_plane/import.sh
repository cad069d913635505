terraform import multizone_control_plane.demo us-central1/demo
