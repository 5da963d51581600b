"""What crosses Kafka: topics, records, partitions, and the producer that writes them."""
