#!/usr/bin/env bash
# A highly available cluster on the sandbox region, by real terraform: examples/highly-available.  Everything it writes is
# under .work/.
set -euo pipefail
. "$(dirname "$0")/terraform-environment.sh"
need cargo "builds the provider: install Rust"
need terraform "1.11 or later"

demo=$work/demo
export MULTIZONE_SANDBOX_DIRECTORY=$demo/sandbox
export TF_IN_AUTOMATION=1 TF_INPUT=0 TF_CLI_ARGS=-no-color

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

clean() {
  if [ -x "$binary" ] && [ -d "$demo/sandbox" ]; then "$binary" sandbox stop --delete || true; fi
  rm -rf "$demo"
}

if [ "${1:-}" = clean ]; then clean; exit; fi

say "Building the provider"
(cd "$root" && cargo build --locked --profile "$profile" -p multizone-provider)

clean >/dev/null
mkdir -p "$demo"
cp "$root"/examples/highly-available/*.tf "$root"/examples/highly-available/*.yaml "$demo/"
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
terraform init >init.txt

say "terraform plan: three masters behind a balancer, one worker in each of three zones"
terraform plan -out plan >plan.txt
grep '^Plan:' plan.txt
echo "The masters' rollout, with durations of a real cloud:"
# Of the control plane's block, the lines of its rollout.
sed -n '/multizone_control_plane.demo will/,/^    }/ s/^ *+ "\( *[0-9]*\. .*\)",$/  \1/p' plan.txt

say "terraform apply, 60 times as fast"
terraform apply plan | tee apply.txt | grep --line-buffered -E 'Creation complete|^Apply complete'

say "A second plan is empty"
terraform plan -detailed-exitcode | grep '^No changes'

say "The nodes, by zone"
terraform output -raw nodes
echo

say "How much may still fail"
echo 'join("|", [
  "etcd members that may fail:         ${data.multizone_cluster_status.now.quorum_margin}",
  "zones of which any one may be lost: ${join(", ", data.multizone_cluster_status.now.survives_loss_of)}",
  "what is not as it should be:        ${join("; ", coalescelist(data.multizone_cluster_status.now.disagreements, ["nothing"]))}",
])' | tr -d '\n' | terraform console -plan | tr -d '"' | tr '|' '\n'

"$binary" sandbox kubeconfig demo --output "$demo/kubeconfig" >/dev/null
command -v etcd >/dev/null 2>&1 || echo "(etcd is not installed: the masters run a stand-in that counts its quorum)"

cat <<'NEXT'

What to try next: halt a master. The API still answers and takes writes.
  source .work/demo/env && cd .work/demo
  terraform-provider-multizone sandbox halt demo-master-b
  curl -sk "$(terraform output -raw endpoint)/readyz"      ok: another master answers at the same address
  terraform plan                                           says what is wrong, and the step that heals it
  terraform apply                                          starts it again: it rejoins

More, in examples/highly-available/README.md:
  terraform-provider-multizone sandbox outage us-central1-f    take a zone down; restore brings it back
  echo 'data.multizone_cluster_status.now' | terraform console -plan
  terraform plan -var 'masters=["us-central1-a"]'          the ordered steps back to one master
  kubectl get nodes -L topology.kubernetes.io/zone
  terraform destroy
  make demo-clean                                          in the checkout: stop the sandbox, remove .work/demo
NEXT
