# The same on AWS, with `provider "multizone" { aws = { region = "us-west-2" } }`: terraform apply -var-file=aws.tfvars
zones               = ["us-west-2a", "us-west-2b", "us-west-2c"]
masters             = ["us-west-2a", "us-west-2b", "us-west-2c"]
network_cidr        = "10.0.0.0/16"
subnet_cidrs        = { "us-west-2a" = "10.0.0.0/20", "us-west-2b" = "10.0.16.0/20", "us-west-2c" = "10.0.32.0/20" }
master_machine_type = "t3.medium"
node_machine_type   = "t3.medium"
