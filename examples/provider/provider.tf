terraform {
  required_providers {
    multizone = { source = "multizone/multizone" }
  }
}

# A simulated region on this machine: no account needed.
provider "multizone" {
  sandbox = { region = "us-central1" }
}

# A region of a Google Cloud project, with the application's default credentials.
provider "multizone" {
  alias          = "production"
  compute_engine = { project = "my-project", region = "europe-west1" }
}

# A region of an AWS account, with the credentials that AWS's own tools find.
provider "multizone" {
  alias = "aws"
  aws   = { region = "us-west-2" }
}
