output "quorum_of_three" {
  value = provider::multizone::quorum_size(3) # 2
}
