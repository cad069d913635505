#!/usr/bin/env bash
# A multi-zone cluster on the sandbox region, by real terraform.  Everything it writes is under .work/.
set -euo pipefail
. "$(dirname "$0")/terraform-environment.sh"
need cargo "builds the provider: install Rust"
need terraform "1.11 or later"
need make "runs the targets"

demo=$work/demo
export MULTIZONE_SANDBOX_DIRECTORY=$demo/sandbox
export TF_IN_AUTOMATION=1 TF_INPUT=0

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

clean() {
  [ -x "$binary" ] && [ -d "$demo/sandbox" ] && "$binary" sandbox stop --delete || true
  rm -rf "$demo"
}

if [ "${1:-}" = clean ]; then clean; exit; fi

say "Building the provider"
(cd "$root" && cargo build --locked --profile "$profile" -p multizone-provider)

clean
mkdir -p "$demo"
cp "$root"/examples/multi-zone/*.tf "$root"/examples/multi-zone/*.yaml "$demo/"
lay_out_mirror "$mirror"
write_terraform_configuration
cat >"$demo/env" <<ENV
# source this file: terraform, kubectl and the sandbox commands then find the demo's cluster
export TF_CLI_CONFIG_FILE="$work/terraform.rc"
export MULTIZONE_SANDBOX_DIRECTORY="$demo/sandbox"
export KUBECONFIG="$demo/kubeconfig"
export PATH="$(dirname "$binary"):\$PATH"
ENV

cd "$demo"
say "terraform init"
terraform init -no-color | sed -n '/Installing\|Installed\|successfully initialized/p'
say "terraform plan"
terraform plan -out plan
say "terraform apply"
terraform apply plan
rm plan

say "A second plan is empty"
terraform plan -detailed-exitcode

"$binary" sandbox kubeconfig demo --output "$demo/kubeconfig"
say "The nodes, by zone"
if command -v kubectl >/dev/null 2>&1; then
  KUBECONFIG=$demo/kubeconfig kubectl get nodes -L topology.kubernetes.io/zone --sort-by='.metadata.labels.topology\.kubernetes\.io/zone'
else
  echo "(kubectl is not installed: this is the sandbox's own view)"
fi
say "The region, as the sandbox sees it"
"$binary" sandbox status

cat <<'NEXT'

What to try next:
  source .work/demo/env && cd .work/demo
  kubectl get nodes --show-labels                          region and zone on every node
  terraform output -raw persistent_volume | kubectl apply -f -
  terraform-provider-multizone sandbox outage us-central1-b    take a zone down, watch kubectl get nodes
  terraform-provider-multizone sandbox restore us-central1-b
  terraform plan -var 'zones=["us-central1-a","us-central1-b"]'   what removing a zone would do
  terraform plan -detailed-exitcode                        what a schedule would run: 0 means no drift
  terraform destroy && terraform-provider-multizone sandbox status
  make demo-clean                                          (in the checkout) stop the sandbox, remove .work/demo
NEXT
