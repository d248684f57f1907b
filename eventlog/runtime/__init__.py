"""The live runtime: partition tasks in Faust workers. The only package that imports Faust and aiokafka."""
