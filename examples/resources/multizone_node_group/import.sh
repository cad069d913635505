terraform import 'multizone_node_group.pool["us-central1-a"]' us-central1/demo/pool-us-central1-a
