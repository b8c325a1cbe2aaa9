"""Sends a numbered task now and then."""

import random
import time

from queue_of_tasks import TASKS, connect

chance = random.SystemRandom()

with connect() as connection:
    producer = connection.Producer()
    number = 0
    while True:
        time.sleep(chance.uniform(1, 3))
        number += 1
        producer.publish({"number": number}, routing_key=TASKS.name, declare=[TASKS])
        print(f"task {number} sent")
