"""What distillation without labels brings to frozen features of volumes."""
